// The idea: a thread walks a pixel through the channels with the window in a ring: each element is read once, forward and backward.
// Before it (v00): a thread for an element, and each element read by every window that holds it.
// Ownership: a thread owns a pixel and its column of the rings in shared memory, which nobody else touches: there is no barrier.
// Bottleneck: memory bandwidth; for small images too few pixels to fill a GPU.
// Measure: tensorgrad lab local_response_norm --kernel v01_running_window --shape 1x32x64 --option size=5
#include "window.h"

namespace tg::local_response_norm {

constexpr int THREADS = 64, MOST = 16;  // MOST: the longest window, by the room for four rings of float64

// The values of the last `size` channels of this thread's pixel. They are added up anew for each window: what leaves a running sum by
// subtraction leaves its rounding error behind, and a NaN for ever.
template <class A> struct Ring {
    A* slots;
    int size;

    __device__ Ring(A* shared, int number, int n) : slots(shared + number * n * THREADS + threadIdx.x), size(n) {
        for (int i = 0; i < n; ++i) slots[i * THREADS] = 0;
    }
    __device__ A& at(int slot, int back) const { return slots[(slot >= back ? slot - back : slot - back + size) * THREADS]; }
    template <class F> __device__ A sum(F&& f) const {
        A total = 0;
        for (int i = 0; i < size; ++i) total += f(slots[i * THREADS]);
        return total;
    }
};

template <class T> __global__ void __launch_bounds__(THREADS) local_response_norm_window(T* y, const T* x, Window<T> w) {
    using A = Wide<T>;
    DYNAMIC_SHARED(A, shared);
    const int64_t pixel = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (pixel >= w.pixels) return;
    const Ring<A> xs(shared, 0, w.size);
    x += w.first(pixel);
    y += w.first(pixel);
    for (int newest = 0, slot = 0; newest < w.C + w.after; ++newest, slot = slot + 1 < w.size ? slot + 1 : 0) {
        xs.at(slot, 0) = newest < w.C ? A(x[newest * w.S]) : A(0);
        const int c = newest - w.after;
        if (c >= 0) y[c * w.S] = T(xs.at(slot, w.after) * w.power(w.k + w.scale * xs.sum([](A v) { return v * v; })));
    }
}

// Channel c's window is whole `after` channels later; channel d's gradient, `before` channels after that.
template <class T>
__global__ void __launch_bounds__(THREADS) local_response_norm_window_backward(T* dx, const T* g, const T* x, Window<T> w) {
    using A = Wide<T>;
    DYNAMIC_SHARED(A, shared);
    const int64_t pixel = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (pixel >= w.pixels) return;
    const Ring<A> xs(shared, 0, w.size), gs(shared, 1, w.size), scaled(shared, 2, w.size), ts(shared, 3, w.size);
    x += w.first(pixel);
    g += w.first(pixel);
    dx += w.first(pixel);
    for (int newest = 0, slot = 0; newest < w.C + w.size - 1; ++newest, slot = slot + 1 < w.size ? slot + 1 : 0) {
        xs.at(slot, 0) = newest < w.C ? A(x[newest * w.S]) : A(0);
        gs.at(slot, 0) = newest < w.C ? A(g[newest * w.S]) : A(0);
        const int c = newest - w.after, d = c - w.before;
        if (c >= 0) {
            const A s = w.k + w.scale * xs.sum([](A v) { return v * v; });
            const A product = c < w.C ? gs.at(slot, w.after) * w.power(s) : A(0);
            scaled.at(slot, w.after) = product;
            ts.at(slot, w.after) = c < w.C ? product * xs.at(slot, w.after) / s : A(0);
        }
        const int back = w.size - 1;  // to channel d
        if (d >= 0) dx[d * w.S] = T(scaled.at(slot, back) - w.factor * xs.at(slot, back) * ts.sum([](A v) { return v; }));
    }
}

template <class T, class... P, class... A> void run(void (*kernel)(P...), int rings, const Window<T>& w, A... arrays) {
    if (w.size > MOST) throw std::invalid_argument("takes windows of at most " + std::to_string(MOST) + " channels");
    const size_t bytes = size_t(rings) * w.size * THREADS * sizeof(Wide<T>);
    if (w.pixels && w.C) launch(kernel, device::blocks_for(w.pixels, THREADS), THREADS, bytes, current_stream, arrays..., w);
}

void window(Array& y, const Array& x, int64_t size, double alpha, double beta, double k) {
    device::by_dtype(x.dtype, [&]<class T>() {
        run(local_response_norm_window<T>, 1, Window<T>(x, size, alpha, beta, k), y.ptr<T>(), x.ptr<const T>());
    });
}

void window_backward(Array& dx, const Array& g, const Array& x, int64_t size, double alpha, double beta, double k) {
    device::by_dtype(x.dtype, [&]<class T>() {
        run(local_response_norm_window_backward<T>, 4, Window<T>(x, size, alpha, beta, k), dx.ptr<T>(), g.ptr<const T>(), x.ptr<const T>());
    });
}

TG_KERNEL(local_response_norm, "cuda/v01_running_window", "float32 float64 float16 bfloat16", window)
TG_KERNEL(local_response_norm_backward, "cuda/v01_running_window", "float32 float64 float16 bfloat16", window_backward)

}  // namespace tg::local_response_norm
