// Convolutions with few channels per group (depthwise): too little reuse for a matrix product, so planes are computed one by one.
//
// A band of the source plane is copied with its border of zeros into scratch. There each tap is a fixed offset, every row of the
// result is a sum of shifted rows, and no edge needs a special case: what is computed beyond the last column is not stored.
#pragma once
#include "patches.h"

namespace tg::depthwise {

using gemm::LANES;
using gemm::Vector;
using patches::Grid;
using patches::Source;
using patches::Tap;

constexpr int64_t BAND = 48 * 1024;  // elements of source rows copied at a time, or one row of the result's worth

// N pixels at p, `step` elements apart; STEP is the same where it is known, else 0.
template <class T, int N, int STEP, size_t... L> inline Vector<T, N> pixels(const T* p, int64_t step, std::index_sequence<L...>) {
    using Vec = Vector<T, N>;
    using I = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
    if constexpr (STEP == 1) return *reinterpret_cast<const Vec*>(p);
    if constexpr (STEP == 2)
        return __builtin_shuffle(*reinterpret_cast<const Vec*>(p), *reinterpret_cast<const Vec*>(p + N), Vector<I, N>{I(2 * L)...});
    return Vec{p[int64_t(L) * step]...};
}

// The bordered copy of a band of source rows, and where the taps lie in it.
template <class T> struct Band {
    int64_t top, left, height, width;  // first source row and column relative to an output pixel's own; rows for one output row; row length
    std::vector<int64_t> offsets;      // of each tap
    T* rows = nullptr;

    Band(const Grid& grid, const Tap* taps, int64_t count) {
        top = left = INT64_MAX;
        int64_t bottom = INT64_MIN, right = INT64_MIN;
        for (int64_t t = 0; t < count; ++t) {
            top = std::min(top, taps[t].dy), bottom = std::max(bottom, taps[t].dy);
            left = std::min(left, taps[t].dx), right = std::max(right, taps[t].dx);
        }
        height = bottom - top + 1;
        constexpr int64_t W = LANES<T>;  // rows are computed four vectors at a time, then two, then one; strided loads read one beyond
        const int64_t rest = grid.w % (4 * W), covered = grid.w - rest + (rest == 0 ? 0 : rest <= W ? W : rest <= 2 * W ? 2 * W : 4 * W);
        width = (covered - 1) * grid.step_x + right - left + 1 + W;
        for (int64_t t = 0; t < count; ++t) offsets.push_back((taps[t].dy - top) * width + taps[t].dx - left);
    }
    // Output rows in one band.
    int64_t count(const Grid& grid) const { return std::max<int64_t>(1, (BAND / width - height) / grid.step_y + 1); }

    // Source rows for output rows y .. y + count of one plane.
    void load(const Source<T>& src, const T* plane, const Grid& grid, int64_t y, int64_t count) {
        const int64_t lines = (count - 1) * grid.step_y + height;
        rows = gemm::scratch<T>(1, lines * width);
        const int64_t from = std::clamp<int64_t>(-left, 0, width), to = std::clamp<int64_t>(src.w - left, from, width);
        for (int64_t r = 0; r < lines; ++r) {
            const int64_t iy = y * grid.step_y + top + r;
            T* line = rows + r * width;
            if (iy < 0 || iy >= src.h) {
                std::fill_n(line, width, T(0));
                continue;
            }
            std::fill_n(line, from, T(0));
            const T* s = plane + iy * src.sh + (from + left) * src.sw;
            if (src.sw == 1) std::copy_n(s, to - from, line + from);
            else
                for (int64_t x = 0; x < to - from; ++x) line[from + x] = s[x * src.sw];
            std::fill(line + to, line + width, T(0));
        }
    }
};

// sums[u] gets the sum over taps of weight times the W pixels of vector u.
template <class T, int STEP, int U>
inline void row_vectors(const T* line, int64_t step, const T* weight, const int64_t* offsets, int64_t taps, T start, Vector<T>* sums) {
    constexpr auto lanes = std::make_index_sequence<LANES<T>>();
    constexpr int W = LANES<T>;
    Vector<T> acc[U];
    for (int u = 0; u < U; ++u) acc[u] = Vector<T>{} + start;
    for (int64_t t = 0; t < taps; ++t)
        for (int u = 0; u < U; ++u) acc[u] += weight[t] * pixels<T, W, STEP>(line + u * W * step + offsets[t], step, lanes);
    for (int u = 0; u < U; ++u) sums[u] = acc[u];
}

// One plane of the result: P is the Product of conv2d.cpp, `row` and `n` say which plane.
template <class T, int STEP, class P> void forward_plane(const P& p, Band<T>& band, int64_t row, int64_t n) {
    constexpr int W = LANES<T>, U = 4;
    const int64_t step = p.grid.step_x, rows = band.count(p.grid);
    for (int64_t y0 = 0; y0 < p.grid.h; y0 += rows) {
        const int64_t y1 = std::min(p.grid.h, y0 + rows);
        for (int64_t c = 0; c < p.channels; ++c) {
            band.load(p.src, p.src.data + n * p.src.sn + c * p.src.sc, p.grid, y0, y1 - y0);
            T* weight = gemm::scratch<T>(2, p.tap_count);
            for (int64_t t = 0; t < p.tap_count; ++t) weight[t] = p.weight[row * p.wr + c * p.wc + p.taps[t].weight];
            for (int64_t y = y0; y < y1; ++y) {
                const T* line = band.rows + (y - y0) * p.grid.step_y * band.width;
                T* out = p.dst + row * p.dr + n * p.dn + y * p.dy;
                const T start = c == 0 && p.bias ? p.bias[row] : T(0);
                for (int64_t x = 0; x < p.grid.w; x += W * U) {
                    alignas(64) T sums[W * U];
                    auto* vectors = reinterpret_cast<Vector<T>*>(sums);
                    const int64_t kept = std::min<int64_t>(W * U, p.grid.w - x), *offsets = band.offsets.data();
                    if (kept > 2 * W) row_vectors<T, STEP, U>(line + x * step, step, weight, offsets, p.tap_count, start, vectors);
                    else if (kept > W) row_vectors<T, STEP, 2>(line + x * step, step, weight, offsets, p.tap_count, start, vectors);
                    else row_vectors<T, STEP, 1>(line + x * step, step, weight, offsets, p.tap_count, start, vectors);
                    T* to = out + x * p.dx;
                    if (p.dx == 1 && c == 0) std::memcpy(to, sums, size_t(kept) * sizeof(T));
                    else
                        for (int64_t i = 0; i < kept; ++i) to[i * p.dx] = c ? to[i * p.dx] + sums[i] : sums[i];
                }
            }
        }
    }
}

// dw for one (row, channel): for each tap the sum over all pixels of gradient times source. Images are added up in double.
template <class T, int STEP, class P> void weight_plane(const P& p, Band<T>& band, int64_t row, int64_t channel) {
    constexpr int W = LANES<T>;
    constexpr auto lanes = std::make_index_sequence<W>();
    const int64_t step = p.grid.step_x, rows = band.count(p.grid), wide = gemm::up(p.grid.w, W);
    std::vector<double> total(size_t(p.tap_count), 0.0);
    for (int64_t n = 0; n < p.grid.n; ++n)
        for (int64_t y0 = 0; y0 < p.grid.h; y0 += rows) {
            const int64_t y1 = std::min(p.grid.h, y0 + rows);
            band.load(p.src, p.src.data + n * p.src.sn + channel * p.src.sc, p.grid, y0, y1 - y0);
            T* sums = gemm::scratch<T>(0, p.tap_count * W + wide);
            T* gradient = sums + p.tap_count * W;
            std::fill_n(sums, p.tap_count * W + wide, T(0));
            for (int64_t y = y0; y < y1; ++y) {
                const T* g = p.gy + row * p.gr + n * p.gn + y * p.gh;
                for (int64_t x = 0; x < p.grid.w; ++x) gradient[x] = g[x * p.gw];
                const T* line = band.rows + (y - y0) * p.grid.step_y * band.width;
                for (int64_t t = 0; t < p.tap_count; ++t) {
                    Vector<T>* sum = reinterpret_cast<Vector<T>*>(sums + t * W);
                    Vector<T> acc = *sum;
                    const T* shifted = line + band.offsets[t];
                    for (int64_t x = 0; x < wide; x += W)
                        acc += *reinterpret_cast<const Vector<T>*>(gradient + x) * pixels<T, W, STEP>(shifted + x * step, step, lanes);
                    *sum = acc;
                }
            }
            for (int64_t t = 0; t < p.tap_count; ++t)
                for (int i = 0; i < W; ++i) total[t] += double(sums[t * W + i]);
        }
    for (int64_t t = 0; t < p.tap_count; ++t) p.dw[row * p.columns() + channel * p.tap_count + t] = T(total[t]);
}

}  // namespace tg::depthwise
