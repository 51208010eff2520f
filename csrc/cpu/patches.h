// Copying what a convolution sees: for a kernel offset (a tap) and a run of output pixels, the pixels of the source they meet.
//
// Pixels are numbered image by image, row by row, across the whole batch. For one tap the places to read are the same in every
// channel, so they are worked out once, as a list of moves of at most one vector, and replayed channel after channel.
#pragma once
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include <type_traits>
#include <vector>

#include "gemm.h"

namespace tg::patches {

using gemm::LANES;

struct Tap {
    int64_t dy, dx;  // what is added to the source position of an output pixel
    int64_t weight;  // offset of the weight within one (output, input) channel pair
};

template <class T> struct Source {
    const T* data;
    int64_t sn, sc, sh, sw;  // strides of image, channel, row, column, in elements
    int64_t h, w;
};

struct Grid {  // the output pixels, and the steps of the source between neighbours
    int64_t n, h, w, step_y, step_x;
    int64_t plane() const { return h * w; }
    int64_t size() const { return n * h * w; }
};

// One vector of pixels is put together from moves: lanes first .. last read source[offset + lane * stride]. Other lanes are zero.
struct Move {
    int64_t offset;
    int first, last;
    uint32_t lanes;  // the same as a mask
};

struct Plan {
    std::vector<Move> moves;
    std::vector<int> ends;  // for each vector, the end of its moves
};

// The moves for pixels q .. q + count of the grid under one tap.
template <class T> void plan(const Source<T>& src, const Grid& grid, const Tap& tap, int64_t q, int64_t count, Plan& out) {
    constexpr int W = LANES<T>;
    out.moves.clear();
    out.ends.clear();
    const int64_t stride = src.sw * grid.step_x;
    int64_t n = q / grid.plane(), y = q % grid.plane() / grid.w, x = q % grid.w;
    for (int64_t done = 0; done < count;) {
        const int64_t length = std::min(grid.w - x, count - done);
        const int64_t iy = y * grid.step_y + tap.dy, ix = x * grid.step_x + tap.dx;
        int64_t first = done, last = done;  // the lanes of this run that lie inside the image
        if (iy >= 0 && iy < src.h && ix + (length - 1) * grid.step_x >= 0 && ix < src.w) {
            first = done + (ix < 0 ? gemm::ceil_div(-ix, grid.step_x) : 0);
            last = done + std::min(length, (src.w - 1 - ix) / grid.step_x + 1);
        }
        const int64_t offset = n * src.sn + iy * src.sh + ix * src.sw - done * stride;  // lane l of the run is at offset + l * stride
        for (done += length; first < last;) {
            const int64_t v = first / W, to = std::min(last, (v + 1) * W);
            while (int64_t(out.ends.size()) < v) out.ends.push_back(int(out.moves.size()));
            const int f = int(first - v * W), l = int(to - v * W);
            out.moves.push_back({offset + v * W * stride, f, l, ((2u << (l - 1)) - 1) & ~((1u << f) - 1)});
            first = to;
        }
        x = 0;
        if (++y == grid.h) y = 0, ++n;
    }
    while (int64_t(out.ends.size()) < gemm::ceil_div(count, W)) out.ends.push_back(int(out.moves.size()));
}

template <class T> inline void replay_any(const Plan& plan, const T* src, int64_t stride, T* dst) {
    int m = 0;
    for (const int end : plan.ends) {
        std::fill_n(dst, LANES<T>, T(0));
        for (; m < end; ++m) {
            const Move& move = plan.moves[m];
            const T* s = src + move.offset;
            for (int i = move.first; i < move.last; ++i) dst[i] = s[i * stride];
        }
        dst += LANES<T>;
    }
}

#if defined(__AVX512F__)
inline void keep(float* p, __m512 v) { _mm512_storeu_ps(p, v); }
inline void keep(double* p, __m512d v) { _mm512_storeu_pd(p, v); }
inline __m512 zero(const float*) { return _mm512_setzero_ps(); }
inline __m512d zero(const double*) { return _mm512_setzero_pd(); }
// Masked loads leave the other lanes alone, and memory outside the mask untouched.
inline __m512 merge(__m512 v, uint32_t lanes, const float* p) { return _mm512_mask_loadu_ps(v, __mmask16(lanes), p); }
inline __m512d merge(__m512d v, uint32_t lanes, const double* p) { return _mm512_mask_loadu_pd(v, __mmask8(lanes), p); }
inline __m512 merge_evens(__m512 v, uint32_t lanes, const float* p) {
    const __m512i index = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const uint32_t spread = _pdep_u32(lanes, 0x55555555u);
    const __m512 a = _mm512_maskz_loadu_ps(__mmask16(spread), p), b = _mm512_maskz_loadu_ps(__mmask16(spread >> 16), p + 16);
    return _mm512_mask_mov_ps(v, __mmask16(lanes), _mm512_permutex2var_ps(a, index, b));
}
inline __m512d merge_evens(__m512d v, uint32_t lanes, const double* p) {
    const __m512i index = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    const uint32_t spread = _pdep_u32(lanes, 0x5555u);
    const __m512d a = _mm512_maskz_loadu_pd(__mmask8(spread), p), b = _mm512_maskz_loadu_pd(__mmask8(spread >> 8), p + 8);
    return _mm512_mask_mov_pd(v, __mmask8(lanes), _mm512_permutex2var_pd(a, index, b));
}

template <class T, bool EVENS> inline void replay_vectors(const Plan& plan, const T* src, T* dst) {
    const Move* m = plan.moves.data();
    for (const int end : plan.ends) {
        decltype(zero(src)) v = zero(src);
        for (const Move* last = plan.moves.data() + end; m < last; ++m)
            v = EVENS ? merge_evens(v, m->lanes, src + m->offset) : merge(v, m->lanes, src + m->offset);
        keep(dst, v);
        dst += LANES<T>;
    }
}
#endif

// Whole vectors of pixels to dst; `src` is the source's data at the channel wanted, `stride` its step between neighbouring pixels.
template <class T> inline void replay(const Plan& plan, const T* src, int64_t stride, T* dst) {
#if defined(__AVX512F__)
    if (stride == 1) return replay_vectors<T, false>(plan, src, dst);
    if (stride == 2) return replay_vectors<T, true>(plan, src, dst);
#endif
    replay_any(plan, src, stride, dst);
}

}  // namespace tg::patches
