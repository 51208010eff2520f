// conv2d and its gradients, rung cpu/implicit: matrix products whose right side, the column matrix, never exists as a whole.
//
// Forward: Y (C_out x pixels) = W (C_out x C_in taps) times patches (C_in taps x pixels). Each task takes some panels of pixels,
// packs their patches for a block of k straight from the image, and multiplies them by the packed weights. The gradient of the input
// is the same product with other taps, one for each residue of the pixel position modulo the stride.
#include "../core/registry.h"
#include "depthwise.h"

namespace tg {
namespace {

using namespace gemm;
using namespace patches;

constexpr int64_t KC = 384;                 // depth of a block of patches
constexpr int64_t BLOCK = 96 * 1024;        // elements of a block of patches: stays in the second cache level
constexpr int64_t FEW_TAPS = 64;            // kernel offsets whose moves are all kept at hand
constexpr int64_t FEW = 4;                  // rows and channels per group computed without a matrix product
constexpr int64_t PARALLEL_FROM = 1 << 21;  // multiply-adds

template <class T> struct Product {  // one group and phase
    Source<T> src;
    Grid grid;
    const Tap* taps;
    int64_t tap_count, channels, rows;
    const T* weight;  // weight(row, channel, tap) = weight[row * wr + channel * wc + tap.weight]
    int64_t wr, wc;
    T* dst;  // dst(row, n, y, x) = dst[row * dr + n * dn + y * dy + x * dx]
    int64_t dr, dn, dy, dx;
    const T* bias;

    int64_t depth() const { return channels * tap_count; }
    bool dense() const { return dx == 1 && dy == grid.w; }
};

template <class T> void pack_weights(const Product<T>& p, int64_t row, int rows, int64_t k0, int64_t kc, T* dst) {
    for (int64_t k = k0; k < k0 + kc; ++k, dst += MR) {
        const T* w = p.weight + row * p.wr + k / p.tap_count * p.wc + p.taps[k % p.tap_count].weight;
        for (int i = 0; i < MR; ++i) dst[i] = i < rows ? w[i * p.wr] : T(0);
    }
}

// Rows k0 .. k0 + kc of the column matrix for pixels q .. q + count, count <= NR: one packed panel.
template <class T>
void pack_patches(const Product<T>& p, int64_t q, int64_t count, int64_t k0, int64_t kc, T* panel, std::vector<Plan>& plans) {
    const int64_t stride = p.src.sw * p.grid.step_x;
    if (p.tap_count <= FEW_TAPS) {  // channel by channel: the taps of a channel read the same lines, and the panel is written in order
        for (int64_t t = 0; t < p.tap_count; ++t) plan(p.src, p.grid, p.taps[t], q, count, plans[t]);
        int64_t t = k0 % p.tap_count;
        const T* plane = p.src.data + k0 / p.tap_count * p.src.sc;
        for (int64_t k = 0; k < kc; ++k, panel += NR<T>) {
            replay(plans[t], plane, stride, panel);
            if (++t == p.tap_count) t = 0, plane += p.src.sc;
        }
        return;
    }
    for (int64_t t = 0; t < p.tap_count; ++t) {
        int64_t c = ceil_div(std::max<int64_t>(k0 - t, 0), p.tap_count);
        if (c * p.tap_count + t >= k0 + kc) continue;
        plan(p.src, p.grid, p.taps[t], q, count, plans[0]);
        for (; c * p.tap_count + t < k0 + kc; ++c)
            replay(plans[0], p.src.data + c * p.src.sc, stride, panel + (c * p.tap_count + t - k0) * NR<T>);
    }
}

// Write or add a tile of rows x count pixels from q on where the pixels do not lie side by side in the result.
template <class T> void scatter(const Product<T>& p, const T* tile, int64_t row, int rows, int64_t q, int64_t count, bool add) {
    for (int64_t done = 0; done < count;) {
        const int64_t at = q + done, n = at / p.grid.plane(), y = at % p.grid.plane() / p.grid.w, x = at % p.grid.w;
        const int64_t length = std::min(count - done, p.dense() ? p.grid.plane() - at % p.grid.plane() : p.grid.w - x);
        for (int i = 0; i < rows; ++i) {
            T* to = p.dst + (row + i) * p.dr + n * p.dn + y * p.dy + x * p.dx;
            const T* from = tile + i * NR<T> + done;
            for (int64_t j = 0; j < length; ++j) to[j * p.dx] = add ? to[j * p.dx] + from[j] : from[j];
        }
        done += length;
    }
}

// One task: rows [r0, r1) of the result for pixels [q0, q1), for the k range [k0, k1) whose packed weights begin at `packed`.
template <class T>
void run_task(const Product<T>& p, int64_t r0, int64_t r1, int64_t first_row, int64_t row_span, int64_t q0, int64_t q1, int64_t k0,
              int64_t k1, int64_t depth, const T* packed) {
    T* patches_block = scratch<T>(1, up(q1 - q0, NR<T>) * std::min(depth, k1 - k0));
    alignas(64) T tile[MR * NR<T>];
    static thread_local std::vector<Plan> plans(FEW_TAPS);
    for (int64_t k = k0; k < k1; k += depth) {
        const int64_t kc = std::min(depth, k1 - k);
        for (int64_t q = q0; q < q1; q += NR<T>)
            pack_patches(p, q, std::min<int64_t>(NR<T>, q1 - q), k, kc, patches_block + (q - q0) * kc, plans);
        const Start start = k > 0 ? Start::add : p.bias ? Start::bias : Start::zero;
        const T* a = packed + (k - k0) * row_span + (r0 - first_row) * kc;
        for (int64_t r = r0; r < r1; r += MR, a += MR * kc) {
            const int rows = int(std::min<int64_t>(MR, r1 - r));
            const T* bias = p.bias ? p.bias + r : nullptr;
            for (int64_t q = q0; q < q1; q += NR<T>) {
                const int count = int(std::min<int64_t>(NR<T>, q1 - q));
                const T* b = patches_block + (q - q0) * kc;
                const int64_t n = q / p.grid.plane(), at = q % p.grid.plane();
                if (p.dense() && at + count <= p.grid.plane()) {
                    micro_for<T>(rows, count)(kc, a, b, NR<T>, p.dst + r * p.dr + n * p.dn + at, p.dr, count, start, bias);
                } else {
                    micro_for<T>(rows, NR<T>)(kc, a, b, NR<T>, tile, NR<T>, NR<T>, start == Start::add ? Start::zero : start, bias);
                    scatter(p, tile, r, rows, q, count, start == Start::add);
                }
            }
        }
    }
}

template <class T> void clear(const Product<T>& p) {
    for (int64_t r = 0; r < p.rows; ++r)
        for (int64_t n = 0; n < p.grid.n; ++n)
            for (int64_t y = 0; y < p.grid.h; ++y)
                for (int64_t x = 0; x < p.grid.w; ++x) p.dst[r * p.dr + n * p.dn + y * p.dy + x * p.dx] = T(0);
}

template <class T> void run(const Product<T>& p, T* space, int64_t space_size) {
    const int64_t k = p.depth(), pixels = p.grid.size();
    if (pixels == 0 || p.rows == 0) return;
    if (k == 0) return clear(p);
    const int64_t depth = ceil_div(k, ceil_div(k, KC));
    const bool team = p.rows * k * pixels >= PARALLEL_FROM && omp_get_max_threads() > 1;
    const int64_t threads = team ? omp_get_max_threads() : 1;
    // As many rows as have room for their packed weights; where even MR rows have not, part of k after part.
    const int64_t row_span = std::min(up(p.rows, MR), std::max<int64_t>(MR, space_size / k / MR * MR));
    const int64_t k_span = row_span * k <= space_size ? k : std::max<int64_t>(1, space_size / (row_span * depth)) * depth;
    const int64_t panels = std::clamp<int64_t>(BLOCK / (NR<T> * depth), 1, std::max<int64_t>(1, ceil_div(pixels, NR<T> * threads * 4)));
    const int64_t wide = panels * NR<T>, pixel_tasks = ceil_div(pixels, wide);
    const int64_t row_parts = std::clamp<int64_t>(2 * threads / pixel_tasks, 1, ceil_div(row_span, MR));
    const int64_t part = up(ceil_div(row_span, row_parts), MR);
    auto work = [&] {
        for (int64_t r0 = 0; r0 < p.rows; r0 += row_span)
            for (int64_t k0 = 0; k0 < k; k0 += k_span) {
                const int64_t r1 = std::min(p.rows, r0 + row_span), k1 = std::min(k, k0 + k_span);
                const int64_t row_panels = ceil_div(r1 - r0, MR), packs = row_panels * ceil_div(k1 - k0, depth);
                each(team, packs, [&](int64_t t) {
                    const int64_t r = r0 + t % row_panels * MR, kk = k0 + t / row_panels * depth, kc = std::min(depth, k1 - kk);
                    pack_weights(p, r, int(std::min<int64_t>(MR, r1 - r)), kk, kc, space + (kk - k0) * row_span + (r - r0) * kc);
                });
                each(team, pixel_tasks * ceil_div(r1 - r0, part), [&](int64_t t) {
                    const int64_t q = t % pixel_tasks * wide, r = r0 + t / pixel_tasks * part;
                    run_task(p, r, std::min(r1, r + part), r0, row_span, q, std::min(pixels, q + wide), k0, k1, depth, space);
                });
            }
    };
    if (team) {
#pragma omp parallel
        work();
    } else {
        work();
    }
}

// All groups of a convolution; `product(g)` describes one. Groups of few channels are computed plane by plane.
template <class T, class F> void run_groups(int64_t groups, const F& product, T* space, int64_t space_size) {
    const Product<T> first = product(0);
    if (groups == 1 || first.rows > FEW || first.channels > FEW || first.depth() == 0) {
        for (int64_t g = 0; g < groups; ++g) run(product(g), space, space_size);
        return;
    }
    const int64_t planes = first.rows * first.grid.n, work = groups * planes * first.grid.plane() * first.depth();
#pragma omp parallel if (work >= PARALLEL_FROM)
    {
        depthwise::Band<T> band(first.grid, first.taps, first.tap_count);
#pragma omp for schedule(dynamic, 4)
        for (int64_t t = 0; t < groups * planes; ++t) {
            const Product<T> p = product(t / planes);
            const int64_t row = t % planes / p.grid.n, n = t % p.grid.n;
            if (p.grid.step_x == 1) depthwise::forward_plane<T, 1>(p, band, row, n);
            else if (p.grid.step_x == 2) depthwise::forward_plane<T, 2>(p, band, row, n);
            else depthwise::forward_plane<T, 0>(p, band, row, n);
        }
    }
}

template <class T> Source<T> source(const Array& x) {
    return {x.ptr<T>(), x.strides[0], x.strides[1], x.strides[2], x.strides[3], x.shape[2], x.shape[3]};
}

void conv2d_forward(Array& y, const Array& x, const Array& w, const Array& bias, Array& space, int64_t sh, int64_t sw, int64_t top,
                    int64_t left, int64_t dh, int64_t dw, int64_t groups) {
    dispatch_float(y.dtype, "conv2d", [&]<class T>() {
        std::vector<Tap> taps;
        for (int64_t i = 0; i < w.shape[2]; ++i)
            for (int64_t j = 0; j < w.shape[3]; ++j) taps.push_back({i * dh - top, j * dw - left, i * w.strides[2] + j * w.strides[3]});
        const int64_t rows = w.shape[0] / groups, channels = w.shape[1];
        auto product = [&](int64_t g) {
            Product<T> p{source<T>(x), {y.shape[0], y.shape[2], y.shape[3], sh, sw}, taps.data(), int64_t(taps.size()), channels, rows,
                         w.ptr<T>() + g * rows * w.strides[0], w.strides[0], w.strides[1], y.ptr<T>() + g * rows * y.strides[1],
                         y.strides[1], y.strides[0], y.strides[2], y.strides[3], bias ? bias.ptr<T>() + g * rows : nullptr};
            p.src.data += g * channels * x.strides[1];
            return p;
        };
        run_groups<T>(groups, product, space.ptr<T>(), space.size());
    });
}

void conv2d_input_grad(Array& dx, const Array& gy, const Array& w, Array& space, int64_t sh, int64_t sw, int64_t top, int64_t left,
                       int64_t dh, int64_t dw, int64_t groups) {
    dispatch_float(dx.dtype, "conv2d_input_grad", [&]<class T>() {
        const int64_t channels = w.shape[0] / groups, rows = w.shape[1];
        std::vector<Tap> taps;
        for (int64_t py = 0; py < std::min(sh, dx.shape[2]); ++py)
            for (int64_t px = 0; px < std::min(sw, dx.shape[3]); ++px) {  // pixels (py + sh y, px + sw x) meet the same taps
                taps.clear();
                for (int64_t i = 0; i < w.shape[2]; ++i)
                    for (int64_t j = 0; j < w.shape[3]; ++j)
                        if ((py + top - i * dh) % sh == 0 && (px + left - j * dw) % sw == 0)
                            taps.push_back({(py + top - i * dh) / sh, (px + left - j * dw) / sw, i * w.strides[2] + j * w.strides[3]});
                auto product = [&](int64_t g) {
                    const Grid grid{dx.shape[0], ceil_div(dx.shape[2] - py, sh), ceil_div(dx.shape[3] - px, sw), 1, 1};
                    Product<T> p{source<T>(gy), grid, taps.data(), int64_t(taps.size()), channels, rows,
                                 w.ptr<T>() + g * channels * w.strides[0], w.strides[1], w.strides[0],
                                 dx.ptr<T>() + g * rows * dx.strides[1] + py * dx.strides[2] + px * dx.strides[3], dx.strides[1],
                                 dx.strides[0], sh * dx.strides[2], sw * dx.strides[3], nullptr};
                    p.src.data += g * channels * gy.strides[1];
                    return p;
                };
                run_groups<T>(groups, product, space.ptr<T>(), space.size());
            }
    });
}

TG_KERNEL(conv2d, "cpu/implicit", "float32 float64", conv2d_forward)
TG_KERNEL(conv2d_input_grad, "cpu/implicit", "float32 float64", conv2d_input_grad)

}  // namespace
}  // namespace tg
