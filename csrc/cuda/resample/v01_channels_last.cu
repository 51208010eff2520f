// The idea: with channels last, neighbours in memory are made of the same pixels with the same weights: 16 bytes of them a thread.
// Before it (v00): the lanes of a warp fetched elements C apart, and the weights again for every channel.
// Ownership: thread t owns chunk t of the result, a pixel's channels fastest: 4 fp32 (8 of 16 bits, 2 fp64) neighbours.
// Bottleneck: memory bandwidth; where several results are made of a pixel, reads of what the cache still holds.
// Measure: python benchmarks/ladder.py avg_pool2d v01_channels_last (emulated time)
#include "taps.h"

namespace tg::resampling {

template <class T> __global__ void resample_channels_last(Strided<T> y, Strided<const T> x, Shape out, Taps rows, Taps columns) {
    constexpr int WIDE = Chunk<T>::WIDE;
    const int64_t thread = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (thread >= out.size() / WIDE) return;
    const auto [n, c, i, j] = out.channels_last(thread, WIDE);
    Sum<T> sum[WIDE] = {};
    for (int a = rows.begin(i); a < rows.end(i); ++a) {
        Sum<T> of_row[WIDE] = {};  // sums of sums keep the digits that one long sum would lose
        for (int b = columns.begin(j); b < columns.end(j); ++b) {
            const Chunk<T> values = load(x.at(n, c, rows.from(a), columns.from(b)));
            const Sum<T> weight = Sum<T>(columns.weight(b));
#pragma unroll
            for (int v = 0; v < WIDE; ++v) of_row[v] += weight * Sum<T>(values.at[v]);
        }
        const Sum<T> weight = Sum<T>(rows.weight(a));
#pragma unroll
        for (int v = 0; v < WIDE; ++v) sum[v] += weight * of_row[v];
    }
    Chunk<T> result;
#pragma unroll
    for (int v = 0; v < WIDE; ++v) result.at[v] = T(sum[v]);
    store(y.at(n, c, i, j), result);
}

void channels_last(Array& y, const Array& x, const Array& row_start, const Array& row_source, const Array& row_weight,
                   const Array& start, const Array& source, const Array& weight) {
    by_dtype<float, double, __nv_bfloat16, __half>(y.dtype, [&]<class T>() {
        check_layout<T>(y);
        check_layout<T>(x);
        const Shape out(y);
        launch_chunks<T>(resample_channels_last<T>, out, strided<T>(y), strided<const T>(x), out, Taps(row_start, row_source, row_weight),
                         Taps(start, source, weight));
    });
}

TG_KERNEL(resample, "cuda/v01_channels_last", "float32 float64 bfloat16 float16", channels_last)

}  // namespace tg::resampling
