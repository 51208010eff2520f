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

struct Move {  // `count` lanes from `lane` on: those from `first` to `last` are read at `offset` + i * stride, the others are zero
    int64_t offset;
    int lane, count, first, last;
};

// The moves for pixels q .. q + count of the grid under one tap.
template <class T> void plan(const Source<T>& src, const Grid& grid, const Tap& tap, int64_t q, int64_t count, std::vector<Move>& moves) {
    moves.clear();
    const int64_t stride = src.sw * grid.step_x;
    for (int64_t done = 0; done < count;) {
        const int64_t at = q + done, n = at / grid.plane(), y = at % grid.plane() / grid.w, x = at % grid.w;
        const int64_t length = std::min(grid.w - x, count - done);
        const int64_t iy = y * grid.step_y + tap.dy, ix = x * grid.step_x + tap.dx;
        int64_t first = ix < 0 ? gemm::ceil_div(-ix, grid.step_x) : 0;
        int64_t last = ix < src.w ? (src.w - 1 - ix) / grid.step_x + 1 : 0;
        if (iy < 0 || iy >= src.h) first = last = 0;
        const int64_t offset = n * src.sn + iy * src.sh + ix * src.sw;
        for (int64_t s = 0; s < length; s += LANES<T>) {
            const int64_t c = std::min<int64_t>(LANES<T>, length - s);
            moves.push_back({offset + s * stride, int(done + s), int(c), int(std::clamp<int64_t>(first - s, 0, c)), int(std::clamp<int64_t>(last - s, 0, c))});
        }
        done += length;
    }
}

template <class T> inline void replay_any(const std::vector<Move>& moves, const T* src, int64_t stride, T* dst) {
    for (const Move& m : moves) {
        T* d = dst + m.lane;
        const T* s = src + m.offset;
        for (int i = 0; i < m.first; ++i) d[i] = T(0);
        for (int i = m.first; i < m.last; ++i) d[i] = s[i * stride];
        for (int i = std::max(m.first, m.last); i < m.count; ++i) d[i] = T(0);
    }
}

#if defined(__AVX512F__)
// One masked load and one masked store a move: lanes outside the image load as zero, and memory outside it is not touched.
inline __m512 load(__mmask16 m, const float* p) { return _mm512_maskz_loadu_ps(m, p); }
inline __m512d load(__mmask8 m, const double* p) { return _mm512_maskz_loadu_pd(m, p); }
inline void store(float* p, __mmask16 m, __m512 v) { _mm512_mask_storeu_ps(p, m, v); }
inline void store(double* p, __mmask8 m, __m512d v) { _mm512_mask_storeu_pd(p, m, v); }
inline __m512 evens(__m512 a, __m512 b) {
    const __m512i index = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, index, b);
}
inline __m512d evens(__m512d a, __m512d b) { return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), b); }

template <class T> inline void replay_vector(const std::vector<Move>& moves, const T* src, int64_t stride, T* dst) {
    using Mask = std::conditional_t<sizeof(T) == 4, __mmask16, __mmask8>;
    for (const Move& m : moves) {
        const uint32_t lanes = m.last > m.first ? ((2u << (m.last - 1)) - 1) & ~((1u << m.first) - 1) : 0;
        const Mask kept = Mask((2u << (m.count - 1)) - 1);
        const T* s = src + m.offset;
        if (stride == 1) {
            store(dst + m.lane, kept, load(Mask(lanes), s));
        } else {  // every other element of two vectors
            const uint32_t spread = _pdep_u32(lanes, 0x55555555u);
            store(dst + m.lane, kept, evens(load(Mask(spread), s), load(Mask(spread >> LANES<T>), s + LANES<T>)));
        }
    }
}
#endif

// dst[lane] for all moves; `src` is the source's data at the channel wanted.
template <class T> inline void replay(const std::vector<Move>& moves, const T* src, int64_t stride, T* dst) {
#if defined(__AVX512F__)
    if (stride == 1 || stride == 2) return replay_vector(moves, src, stride, dst);
#endif
    replay_any(moves, src, stride, dst);
}

}  // namespace tg::patches
