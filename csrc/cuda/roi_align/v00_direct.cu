// The idea: one thread per bin takes the mean of its samples. Backward, a pixel asks the regions: no sample adds into memory.
// Before it: nothing; this is the definition. A sample's weights are a product of its row's and its column's, so a region's are too.
// Ownership: thread t owns element t of the result; of dx a pixel of 4 channels, which share all weights.
// Bottleneck: forward four reads a sample, from the cache; backward the walk over the regions, most of which miss the pixel.
// Measure: tensorgrad lab roi_align --kernel v00_direct --shape 1x4x16x16 --shape 6x5:float:0:1 --option output_size=3
#include "../../core/regions.h"
#include "../../core/registry.h"
#include "../../device/element.cuh"

namespace tg::roi_align {

using device::Wide;

constexpr int THREADS = 256, CHANNELS = 4;

template <class T> struct Problem {
    using A = Wide<T>;
    int64_t regions, N, C;
    int H, W, rows, columns;
    const T* boxes;
    A scale;
    int64_t ratio;
    bool aligned;

    Problem(const Array& x, const Array& y, const Array& b, double s, int64_t r, int64_t a)
        : regions(b.shape[0]), N(x.shape[0]), C(x.shape[1]), H(device::length_of(x.shape[2], "a height")),
          W(device::length_of(x.shape[3], "a width")), rows(device::length_of(y.shape[2], "a number of bins")),
          columns(device::length_of(y.shape[3], "a number of bins")), boxes(b.ptr<const T>()), scale(A(s)), ratio(r), aligned(a != 0) {}

    __device__ regions::Region<A> region(int64_t k) const { return {boxes + 5 * k, rows, columns, scale, ratio, aligned}; }
};

template <class T> __global__ void roi_align_direct(T* y, const T* x, const __grid_constant__ Problem<T> p) {
    const int64_t at = int64_t(blockIdx.x) * THREADS + threadIdx.x, plane = at / p.columns / p.rows;
    if (plane >= p.regions * p.C) return;
    const auto region = p.region(plane / p.C);
    x += (region.image * p.C + plane % p.C) * p.H * p.W;
    const auto pixel = [&](int h, int w) { return Wide<T>(x[int64_t(h) * p.W + w]); };
    y[at] = T(region.mean(int(at / p.columns % p.rows), int(at % p.columns), p.H, p.W, pixel));
}

// The bins of a side that may have samples beside pixel `at`: the first, and the one after the last.
template <class A> struct Bins {
    int first, end;

    __device__ Bins(const regions::Side<A>& side, int at) : first(0), end(side.bins) {
        if (!(side.size > A(0))) return;
        const A from = (A(at - 1) - side.start) / side.size, to = (A(at + 1) - side.start) / side.size;
        if (from > A(0)) first = from < A(side.bins) ? int(from) : side.bins;
        if (to < A(side.bins - 1)) end = to < A(0) ? 0 : int(to) + 1;
    }
};

template <class T> __global__ void roi_align_direct_backward(T* dx, const T* g, const __grid_constant__ Problem<T> p) {
    using A = Wide<T>;
    const int64_t at = int64_t(blockIdx.x) * THREADS + threadIdx.x, across = (p.C + CHANNELS - 1) / CHANNELS, group = at / p.W / p.H;
    if (group >= p.N * across) return;
    const int h = int(at / p.W % p.H), w = int(at % p.W);
    const int64_t n = group / across, c0 = group % across * CHANNELS, bins = int64_t(p.rows) * p.columns;
    A sum[CHANNELS] = {};
    for (int64_t k = 0; k < p.regions; ++k) {
        if (int64_t(A(p.boxes[5 * k])) != n) continue;
        const auto region = p.region(k);
        const Bins<A> down(region.y, h), along(region.x, w);
        for (int i = down.first; i < down.end; ++i) {
            const A of_row = region.y.weight(i, h, p.H) / region.samples();
            if (of_row == A(0)) continue;
            for (int j = along.first; j < along.end; ++j) {
                const A weight = of_row * region.x.weight(j, w, p.W);
                const T* const from = g + (k * p.C + c0) * bins + int64_t(i) * p.columns + j;
#pragma unroll
                for (int c = 0; c < CHANNELS; ++c)
                    if (weight != A(0) && c0 + c < p.C) sum[c] += weight * A(from[c * bins]);
            }
        }
    }
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c)
        if (c0 + c < p.C) dx[((n * p.C + c0 + c) * p.H + h) * p.W + w] = T(sum[c]);
}

void direct(Array& y, const Array& x, const Array& boxes, double scale, int64_t ratio, int64_t aligned) {
    if (y.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        launch(roi_align_direct<T>, device::blocks_for(y.size(), THREADS), THREADS, 0, current_stream, y.ptr<T>(), x.ptr<const T>(),
               Problem<T>(x, y, boxes, scale, ratio, aligned));
    });
}

void direct_backward(Array& dx, const Array& g, const Array& boxes, double scale, int64_t ratio, int64_t aligned) {
    if (dx.size() == 0) return;
    const int64_t threads = dx.shape[0] * ((dx.shape[1] + CHANNELS - 1) / CHANNELS) * dx.shape[2] * dx.shape[3];
    device::by_dtype(dx.dtype, [&]<class T>() {
        launch(roi_align_direct_backward<T>, device::blocks_for(threads, THREADS), THREADS, 0, current_stream, dx.ptr<T>(),
               g.ptr<const T>(), Problem<T>(dx, g, boxes, scale, ratio, aligned));
    });
}

TG_KERNEL(roi_align, "cuda/v00_direct", "float32 float64 float16 bfloat16", direct)
TG_KERNEL(roi_align_backward, "cuda/v00_direct", "float32 float64 float16 bfloat16", direct_backward)

}  // namespace tg::roi_align
