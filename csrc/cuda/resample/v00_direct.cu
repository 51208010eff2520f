// The idea: one thread per result adds up the pixels it is made of, with the products of their weights.
// Before it: nothing; this is the definition. The gradient is the same with the matrices transposed, so it gathers too.
// Ownership: thread t owns element t of the result, counted with the columns fastest: a warp goes along a row.
// Bottleneck: the weights. Each result fetches its entries of both matrices again, more bytes than the pixels they belong to.
// Measure: tensorgrad lab avg_pool2d --kernel v00_direct --shape 1x4x56x56 --option kernel_size=2
#include "taps.h"

namespace tg::resampling {

template <class T> __global__ void resample_direct(Strided<T> y, Strided<const T> x, Shape out, Taps rows, Taps columns) {
    const int64_t thread = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (thread >= out.size()) return;
    const auto [n, c, i, j] = out.planes_first(thread);
    const T* const plane = x.at(n, c, 0, 0);
    *y.at(n, c, i, j) = T(weighted_sum<Sum<T>>(rows, columns, i, j, [&](int h, int w) {
        return Sum<T>(plane[h * x.stride[2] + w * x.stride[3]]);
    }));
}

void direct(Array& y, const Array& x, const Array& row_start, const Array& row_source, const Array& row_weight, const Array& start,
            const Array& source, const Array& weight) {
    by_dtype<float, double, __nv_bfloat16, __half>(y.dtype, [&]<class T>() {
        const Shape out(y);
        launch_each(resample_direct<T>, out, strided<T>(y), strided<const T>(x), out, Taps(row_start, row_source, row_weight),
                    Taps(start, source, weight));
    });
}

TG_KERNEL(resample, "cuda/v00_direct", "float32 float64 bfloat16 float16", direct)

}  // namespace tg::resampling
