// The idea: one thread per result. Forward, it walks over its window; backward, over the windows that cover its element.
// Before it: nothing; this is the definition.
// Ownership: thread t owns element t of the result, counted with the columns fastest: a warp goes along a row.
// Bottleneck: memory. With channels last the lanes' loads are C elements apart, a sector of 32 bytes for each.
// Measure: python benchmarks/ladder.py max_pool2d v00_direct (emulated time)
#include "windows.h"

namespace tg::pooling {

template <class T, class I, class Rows, class Columns>
__global__ void max_pool2d_direct(Strided<T> y, Strided<I> indices, Strided<const T> x, Shape out, int width, Rows rows, Columns columns) {
    const int64_t thread = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (thread >= out.size()) return;
    const auto [n, c, i, j] = out.planes_first(thread);
    int best_row = rows.begin(i), best_column = columns.begin(j);
    Sum<T> best = Sum<T>(*x.at(n, c, best_row, best_column));
    for (int h = rows.begin(i); h < rows.end(i); h += rows.step)
        for (int w = columns.begin(j); w < columns.end(j); w += columns.step) {
            const Sum<T> value = Sum<T>(*x.at(n, c, h, w));
            if (!beats(value, best)) continue;
            best = value;
            best_row = h;
            best_column = w;
        }
    *y.at(n, c, i, j) = T(best);
    if (indices.data) *indices.at(n, c, i, j) = I(best_row) * width + best_column;
}

// dx = the sum of g over the windows whose maximum was here: rows and columns say which windows to ask.
template <class T, class I>
__global__ void pool_scatter_direct(Strided<T> dx, Strided<const T> g, Strided<const I> indices, Shape out, Ranges rows, Ranges columns) {
    const int64_t thread = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (thread >= out.size()) return;
    const auto [n, c, h, w] = out.planes_first(thread);
    Sum<T> sum = 0;
    for (int i = rows.begin(h); i < rows.end(h); ++i)
        for (int j = columns.begin(w); j < columns.end(w); ++j)
            if (*indices.at(n, c, i, j) == I(h) * out.W + w) sum += Sum<T>(*g.at(n, c, i, j));
    *dx.at(n, c, h, w) = T(sum);
}

template <class T, class I>
__global__ void pool_gather_direct(Strided<T> y, Strided<const T> x, Strided<const I> indices, Shape out, int width) {
    const int64_t thread = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (thread >= out.size()) return;
    const auto [n, c, i, j] = out.planes_first(thread);
    const I at = *indices.at(n, c, i, j);
    *y.at(n, c, i, j) = *x.at(n, c, at / width, at % width);
}

namespace {

template <class Rows, class Columns> void maxima(Array& y, Array& indices, const Array& x, const Rows& rows, const Columns& columns) {
    check_plane(x);
    by_dtype<float, double, __nv_bfloat16, __half>(y.dtype, [&]<class T>() {
        by_index(indices, [&]<class I>() {
            const Shape out(y);
            launch_each(max_pool2d_direct<T, I, Rows, Columns>, out, strided<T>(y), strided<I>(indices), strided<const T>(x), out,
                        dimension(x.shape[3]), rows, columns);
        });
    });
}

}  // namespace

void max_pool2d(Array& y, Array& indices, const Array& x, int64_t kh, int64_t kw, int64_t sh, int64_t sw, int64_t ph, int64_t pw,
                int64_t dh, int64_t dw) {
    maxima(y, indices, x, Regular{int(x.shape[2]), dimension(kh), dimension(sh), dimension(ph), dimension(dh)},
           Regular{int(x.shape[3]), dimension(kw), dimension(sw), dimension(pw), dimension(dw)});
}

void adaptive_max_pool2d(Array& y, Array& indices, const Array& x, const Array& top, const Array& bottom, const Array& left,
                         const Array& right) {
    maxima(y, indices, x, Ranges(top, bottom), Ranges(left, right));
}

void pool_scatter(Array& dx, const Array& g, const Array& indices, const Array& top, const Array& bottom, const Array& left,
                  const Array& right) {
    check_plane(dx);
    by_dtype<float, double, __nv_bfloat16, __half>(dx.dtype, [&]<class T>() {
        by_index(indices, [&]<class I>() {
            const Shape out(dx);
            launch_each(pool_scatter_direct<T, I>, out, strided<T>(dx), strided<const T>(g), strided<const I>(indices), out,
                        Ranges(top, bottom), Ranges(left, right));
        });
    });
}

void pool_gather(Array& y, const Array& x, const Array& indices) {
    check_plane(x);
    by_dtype<float, double, __nv_bfloat16, __half>(y.dtype, [&]<class T>() {
        by_index(indices, [&]<class I>() {
            const Shape out(y);
            launch_each(pool_gather_direct<T, I>, out, strided<T>(y), strided<const T>(x), strided<const I>(indices), out,
                        dimension(x.shape[3]));
        });
    });
}

TG_KERNEL(max_pool2d, "cuda/v00_direct", "float32 float64 bfloat16 float16", max_pool2d)
TG_KERNEL(adaptive_max_pool2d, "cuda/v00_direct", "float32 float64 bfloat16 float16", adaptive_max_pool2d)
TG_KERNEL(pool_scatter, "cuda/v00_direct", "float32 float64 bfloat16 float16", pool_scatter)
TG_KERNEL(pool_gather, "cuda/v00_direct", "float32 float64 bfloat16 float16", pool_gather)

}  // namespace tg::pooling
