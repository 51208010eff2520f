// The gradient of conv2d's weight, rung cpu/implicit: dW (C_out x C_in taps) = dY (C_out x pixels) times patches^T (pixels x C_in taps).
//
// The sum runs over pixels, along which both operands lie contiguous: packing turns them over. A task owns a block of dW and walks
// over its part of the pixels; small results are computed in several parts of the batch, added up in order, so that there is work
// for many threads and the sum does not depend on how many there are.
#include "../core/registry.h"
#include "depthwise.h"

namespace tg {
namespace {

using namespace gemm;
using namespace patches;

constexpr int64_t KC = 256;        // pixels in a block
constexpr int64_t ROWS = 256;      // of dW in a task
constexpr int64_t PANELS = 4;      // of columns of dW in a task
constexpr int64_t PARTS = 16;      // of the batch, at most
constexpr int64_t FEW = 4;         // rows and channels per group computed without a matrix product
constexpr int64_t PARALLEL_FROM = 1 << 21;

template <class T> struct Product {  // one group
    Source<T> src;
    Grid grid;
    const Tap* taps;
    int64_t tap_count, channels, rows;
    const T* gy;  // gy(row, n, y, x)
    int64_t gr, gn, gh, gw;
    T* dw;  // rows x columns, contiguous

    int64_t columns() const { return channels * tap_count; }
};

// Panels [pixel][MR] of dY for pixels q .. q + count.
template <class T> void pack_gradient(const Product<T>& p, int64_t row, int64_t rows, int64_t q, int64_t count, T* dst) {
    const bool flat = p.gh == p.gw * p.grid.w;
    for (int64_t done = 0; done < count;) {
        const int64_t at = q + done, n = at / p.grid.plane(), in = at % p.grid.plane(), y = in / p.grid.w, x = in % p.grid.w;
        const int64_t length = std::min(count - done, flat ? p.grid.plane() - in : p.grid.w - x);
        const T* from = p.gy + row * p.gr + n * p.gn + y * p.gh + x * p.gw;
        for (int64_t i = 0; i < rows; i += MR)
            pack_panel<T, MR>(from + i * p.gr, p.gr, p.gw, int(std::min<int64_t>(MR, rows - i)), length, dst + i * count + done * MR);
        done += length;
    }
}

// Panels [pixel][NR] of the patches for columns [c0, c1) and pixels q .. q + count: rows of pixels first, then turned over.
template <class T> void pack_patches(const Product<T>& p, int64_t c0, int64_t c1, int64_t q, int64_t count, T* rows, T* dst, Plan& moves) {
    const int64_t ld = up(count, LANES<T>);
    for (int64_t t = 0; t < p.tap_count; ++t) {
        int64_t c = ceil_div(std::max<int64_t>(c0 - t, 0), p.tap_count);
        if (c * p.tap_count + t >= c1) continue;
        plan(p.src, p.grid, p.taps[t], q, count, moves);
        for (; c * p.tap_count + t < c1; ++c)
            replay(moves, p.src.data + c * p.src.sc, p.src.sw * p.grid.step_x, rows + (c * p.tap_count + t - c0) * ld);
    }
    pack<T, NR<T>>(rows, ld, 1, c1 - c0, count, dst);
}

// Adds the pixels [q0, q1) to rows [r0, r1) and columns [c0, c1) of `out` (row stride ld), which begins with zero.
template <class T>
void run_task(const Product<T>& p, int64_t r0, int64_t r1, int64_t c0, int64_t c1, int64_t q0, int64_t q1, T* out, int64_t ld) {
    T* gradient = scratch<T>(0, up(ROWS, MR) * KC);
    T* columns = scratch<T>(1, PANELS * NR<T> * KC);
    T* rows = scratch<T>(2, PANELS * NR<T> * KC);
    static thread_local Plan moves;
    for (int64_t q = q0; q < q1; q += KC) {
        const int64_t count = std::min(KC, q1 - q);
        pack_gradient(p, r0, r1 - r0, q, count, gradient);
        pack_patches(p, c0, c1, q, count, rows, columns, moves);
        block<T>(r1 - r0, c1 - c0, count, gradient, columns, out + r0 * ld + c0, ld, q == q0 ? Start::zero : Start::add);
    }
}

template <class T> void run(const Product<T>& p, T* space, int64_t space_size) {
    const int64_t pixels = p.grid.size(), columns = p.columns(), size = p.rows * columns;
    if (size == 0) return;
    if (pixels == 0) {
        std::fill_n(p.dw, size, T(0));
        return;
    }
    const int64_t parts = std::clamp<int64_t>(std::min(space_size / size, pixels / (8 * KC)), 1, PARTS);
    const int64_t part = up(ceil_div(pixels, parts), KC);
    const int64_t wide = PANELS * NR<T>, column_tasks = ceil_div(columns, wide), tasks = column_tasks * ceil_div(p.rows, ROWS);
    const bool team = size * pixels >= PARALLEL_FROM && omp_get_max_threads() > 1;
    auto work = [&] {
        each(team, tasks * parts, [&](int64_t t) {
            const int64_t s = t / tasks, c = t % tasks % column_tasks * wide, r = t % tasks / column_tasks * ROWS;
            T* out = parts == 1 ? p.dw : space + s * size;
            const int64_t r1 = std::min(p.rows, r + ROWS), c1 = std::min(columns, c + wide);
            if (s * part < pixels) return run_task(p, r, r1, c, c1, s * part, std::min(pixels, (s + 1) * part), out, columns);
            for (int64_t i = r; i < r1; ++i) std::fill_n(out + i * columns + c, c1 - c, T(0));
        });
        if (parts > 1)
            each(team, ceil_div(size, 4096), [&](int64_t t) {
                const int64_t from = t * 4096, to = std::min(size, from + 4096);
                std::copy_n(space + from, to - from, p.dw + from);
                for (int64_t s = 1; s < parts; ++s)
                    for (int64_t i = from; i < to; ++i) p.dw[i] += space[s * size + i];
            });
    };
    if (team) {
#pragma omp parallel
        work();
    } else {
        work();
    }
}

void conv2d_weight_grad(Array& dw, const Array& gy, const Array& x, Array& space, int64_t sh, int64_t sw, int64_t top, int64_t left,
                        int64_t dh, int64_t dw_step, int64_t groups) {
    dispatch_float(dw.dtype, "conv2d_weight_grad", [&]<class T>() {
        std::vector<Tap> taps;
        for (int64_t i = 0; i < dw.shape[2]; ++i)
            for (int64_t j = 0; j < dw.shape[3]; ++j) taps.push_back({i * dh - top, j * dw_step - left, 0});
        const int64_t rows = dw.shape[0] / groups, channels = dw.shape[1];
        auto product = [&](int64_t g) {
            const T* image = x.ptr<T>() + g * channels * x.strides[1];
            return Product<T>{{image, x.strides[0], x.strides[1], x.strides[2], x.strides[3], x.shape[2], x.shape[3]},
                         {gy.shape[0], gy.shape[2], gy.shape[3], sh, sw}, taps.data(), int64_t(taps.size()), channels, rows,
                         gy.ptr<T>() + g * rows * gy.strides[1], gy.strides[1], gy.strides[0], gy.strides[2], gy.strides[3],
                         dw.ptr<T>() + g * rows * channels * int64_t(taps.size())};
        };
        if (groups == 1 || rows > FEW || channels > FEW || gy.size() == 0) {
            for (int64_t g = 0; g < groups; ++g) run(product(g), space.ptr<T>(), space.size());
            return;
        }
        const int64_t pairs = rows * channels, work = dw.size() * gy.shape[0] * gy.shape[2] * gy.shape[3];
#pragma omp parallel if (work >= PARALLEL_FROM)
        {
            depthwise::Band<T> band(product(0).grid, taps.data(), int64_t(taps.size()));
#pragma omp for schedule(dynamic)
            for (int64_t t = 0; t < groups * pairs; ++t) {
                const Product<T> p = product(t / pairs);
                const int64_t row = t % pairs / channels, channel = t % channels;
                if (sw == 1) depthwise::weight_plane<T, 1>(p, band, row, channel);
                else if (sw == 2) depthwise::weight_plane<T, 2>(p, band, row, channel);
                else depthwise::weight_plane<T, 0>(p, band, row, channel);
            }
        }
    });
}

TG_KERNEL(conv2d_weight_grad, "cpu/implicit", "float32 float64", conv2d_weight_grad)

}  // namespace
}  // namespace tg
