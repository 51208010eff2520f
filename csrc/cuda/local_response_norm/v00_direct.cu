// The idea: one thread per result reads the window around its channel; backward it does so for each channel whose window holds its own.
// Before it: nothing; this is the definition.
// Ownership: thread t owns element t: the lanes of a warp are neighbouring pixels of a channel.
// Bottleneck: every element is read once for each window it is in, and backward for each of those in its turn: size x size reads.
// Measure: tensorgrad lab local_response_norm --kernel v00_direct --shape 1x32x64 --option size=5
#include "window.h"

namespace tg::local_response_norm {

constexpr int THREADS = 256;

template <class T> __device__ Wide<T> energy(const T* x, const Window<T>& w, int c) {  // x: channel 0 of the pixel
    Wide<T> sum = 0;
    for (int i = max(0, c - w.before); i < min(w.C, c + w.after + 1); ++i) sum += Wide<T>(x[i * w.S]) * Wide<T>(x[i * w.S]);
    return w.k + w.scale * sum;
}

template <class T> __global__ void local_response_norm_direct(T* y, const T* x, Window<T> w) {
    const int64_t at = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (at >= w.pixels * w.C) return;
    const int c = int(at / w.S % w.C);
    y[at] = T(Wide<T>(x[at]) * w.power(energy(x + at - c * w.S, w, c)));
}

template <class T> __global__ void local_response_norm_direct_backward(T* dx, const T* g, const T* x, Window<T> w) {
    const int64_t at = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (at >= w.pixels * w.C) return;
    const int d = int(at / w.S % w.C);
    const int64_t first = at - d * w.S;
    Wide<T> sum = 0, own = 0;
    for (int c = max(0, d - w.after); c < min(w.C, d + w.before + 1); ++c) {
        const Wide<T> s = energy(x + first, w, c), scaled = Wide<T>(g[first + c * w.S]) * w.power(s);
        if (c == d) own = scaled;
        sum += scaled * Wide<T>(x[first + c * w.S]) / s;
    }
    dx[at] = T(own - w.factor * Wide<T>(x[at]) * sum);
}

void direct(Array& y, const Array& x, int64_t size, double alpha, double beta, double k) {
    if (x.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        launch(local_response_norm_direct<T>, device::blocks_for(x.size(), THREADS), THREADS, 0, current_stream, y.ptr<T>(),
               x.ptr<const T>(), Window<T>(x, size, alpha, beta, k));
    });
}

void direct_backward(Array& dx, const Array& g, const Array& x, int64_t size, double alpha, double beta, double k) {
    if (x.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        launch(local_response_norm_direct_backward<T>, device::blocks_for(x.size(), THREADS), THREADS, 0, current_stream, dx.ptr<T>(),
               g.ptr<const T>(), x.ptr<const T>(), Window<T>(x, size, alpha, beta, k));
    });
}

TG_KERNEL(local_response_norm, "cuda/v00_direct", "float32 float64 float16 bfloat16", direct)
TG_KERNEL(local_response_norm_backward, "cuda/v00_direct", "float32 float64 float16 bfloat16", direct_backward)

}  // namespace tg::local_response_norm
