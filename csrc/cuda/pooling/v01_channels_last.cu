// The idea: with channels last, neighbours in memory have the same window. A thread takes 16 bytes of them at once.
// Before it (v00): the lanes of a warp fetched elements C apart; now whole sectors, and where a window lies is found once for 4 or 8.
// Ownership: thread t owns chunk t of the result, a pixel's channels fastest: 4 fp32 (8 of 16 bits, 2 fp64) neighbours.
// Bottleneck: memory bandwidth; where windows overlap, reads of what the cache still holds.
// Measure: python benchmarks/ladder.py avg_pool2d v01_channels_last (emulated time)
#include "windows.h"

namespace tg::pooling {

template <class T, class I>
__global__ void max_pool2d_channels_last(Strided<T> y, Strided<I> indices, Strided<const T> x, Shape out, int width, Regular rows,
                                         Regular columns) {
    constexpr int WIDE = Chunk<T>::WIDE;
    const int64_t thread = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (thread >= out.size() / WIDE) return;
    const auto [n, c, i, j] = out.channels_last(thread, WIDE);
    Chunk<T> best;
    int at[WIDE];
#pragma unroll
    for (int v = 0; v < WIDE; ++v) best.at[v] = T(-INFINITY), at[v] = rows.begin(i) * width + columns.begin(j);
    for (int h = rows.begin(i); h < rows.end(i); h += rows.step)
        for (int w = columns.begin(j); w < columns.end(j); w += columns.step) {
            const Chunk<T> values = load(x.at(n, c, h, w));
#pragma unroll
            for (int v = 0; v < WIDE; ++v)
                if (beats(Sum<T>(values.at[v]), Sum<T>(best.at[v]))) {
                    best.at[v] = values.at[v];
                    at[v] = h * width + w;
                }
        }
    store(y.at(n, c, i, j), best);
    if (!indices.data) return;
    Chunk<I, WIDE> places;
#pragma unroll
    for (int v = 0; v < WIDE; ++v) places.at[v] = I(at[v]);
    store(indices.at(n, c, i, j), places);
}

template <class T, class I>
__global__ void pool_scatter_channels_last(Strided<T> dx, Strided<const T> g, Strided<const I> indices, Shape out, Ranges rows,
                                           Ranges columns) {
    constexpr int WIDE = Chunk<T>::WIDE;
    const int64_t thread = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (thread >= out.size() / WIDE) return;
    const auto [n, c, h, w] = out.channels_last(thread, WIDE);
    Sum<T> sum[WIDE] = {};
    for (int i = rows.begin(h); i < rows.end(h); ++i)
        for (int j = columns.begin(w); j < columns.end(w); ++j) {
            const Chunk<T> values = load(g.at(n, c, i, j));
            const auto places = load<WIDE>(indices.at(n, c, i, j));
#pragma unroll
            for (int v = 0; v < WIDE; ++v)
                if (places.at[v] == I(h) * out.W + w) sum[v] += Sum<T>(values.at[v]);
        }
    Chunk<T> result;
#pragma unroll
    for (int v = 0; v < WIDE; ++v) result.at[v] = T(sum[v]);
    store(dx.at(n, c, h, w), result);
}

void max_pool2d_chunks(Array& y, Array& indices, const Array& x, int64_t kh, int64_t kw, int64_t sh, int64_t sw, int64_t ph, int64_t pw,
                       int64_t dh, int64_t dw) {
    check_plane(x);
    by_dtype<float, double, __nv_bfloat16, __half>(y.dtype, [&]<class T>() {
        check_layout<T>(y);
        check_layout<T>(x);
        if (indices) check_layout<T>(indices);
        by_index(indices, [&]<class I>() {
            const Shape out(y);
            launch_chunks<T>(max_pool2d_channels_last<T, I>, out, strided<T>(y), strided<I>(indices), strided<const T>(x), out,
                           dimension(x.shape[3]), Regular{int(x.shape[2]), dimension(kh), dimension(sh), dimension(ph), dimension(dh)},
                           Regular{int(x.shape[3]), dimension(kw), dimension(sw), dimension(pw), dimension(dw)});
        });
    });
}

void pool_scatter_chunks(Array& dx, const Array& g, const Array& indices, const Array& top, const Array& bottom, const Array& left,
                         const Array& right) {
    check_plane(dx);
    by_dtype<float, double, __nv_bfloat16, __half>(dx.dtype, [&]<class T>() {
        check_layout<T>(dx);
        check_layout<T>(g);
        check_layout<T>(indices);
        by_index(indices, [&]<class I>() {
            const Shape out(dx);
            launch_chunks<T>(pool_scatter_channels_last<T, I>, out, strided<T>(dx), strided<const T>(g), strided<const I>(indices), out,
                           Ranges(top, bottom), Ranges(left, right));
        });
    });
}

TG_KERNEL(max_pool2d, "cuda/v01_channels_last", "float32 float64 bfloat16 float16", max_pool2d_chunks)
TG_KERNEL(pool_scatter, "cuda/v01_channels_last", "float32 float64 bfloat16 float16", pool_scatter_chunks)

}  // namespace tg::pooling
