// What the rungs of the softmax ladder share: rows of an array seen as (outer, n, inner), the four formulas, sweeps over a row.
//
// A formula is a sum along the row and an update of each element: y = result(a, b, top, s) with s = prepared(sum of part(a, b, top)).
// Forward `a` is x and there is no `b`; backward `a` is the gradient and `b` the output. SHIFTED: the row's maximum `top` is used.
#pragma once
#include <cmath>

#include "../../core/registry.h"
#include "../../device/element.cuh"
#include "../../device/reduce.cuh"

namespace tg::softmax {

using device::Wide;

template <class T> struct Rows {
    T* y;
    const T *a, *b;
    int64_t rows, inner;
    int n;
    bool packed;  // rows lie one after the other and may be moved 16 bytes at a time

    __device__ int64_t first(int64_t row) const { return row / inner * n * inner + row % inner; }  // element i is i * inner further
};

struct Softmax {
    static constexpr bool SHIFTED = true, TWO_INPUTS = false;
    template <class A> __device__ static A part(A x, A, A top) { return std::exp(x - top); }
    template <class A> __device__ static A prepared(A sum) { return A(1) / sum; }
    template <class A> __device__ static A result(A x, A, A top, A s) { return std::exp(x - top) * s; }
};

struct LogSoftmax : Softmax {
    template <class A> __device__ static A prepared(A sum) { return std::log(sum); }
    template <class A> __device__ static A result(A x, A, A top, A s) { return (x - top) - s; }
};

struct SoftmaxBackward {
    static constexpr bool SHIFTED = false, TWO_INPUTS = true;
    template <class A> __device__ static A part(A g, A y, A) { return g * y; }
    template <class A> __device__ static A prepared(A sum) { return sum; }
    template <class A> __device__ static A result(A g, A y, A, A s) { return y * (g - s); }
};

struct LogSoftmaxBackward : SoftmaxBackward {
    template <class A> __device__ static A part(A g, A, A) { return g; }
    template <class A> __device__ static A result(A g, A y, A, A s) { return g - std::exp(y) * s; }
};

template <class A> constexpr A LOWEST = -std::numeric_limits<A>::infinity();

// Visits the elements of a row that thread `thread` of `threads` owns: f(a, b, i). With WRITE, what f returns becomes the element of y.
template <class F, bool WRITE, class T, class Visit>
__device__ inline void sweep(const Rows<T>& r, int64_t row, int thread, int threads, Visit f) {
    using A = Wide<T>;
    const int64_t first = r.first(row);
    if (r.packed) {
        constexpr int PACK = device::PACK<T>;
        for (int i = thread * PACK; i < r.n; i += threads * PACK) {
            A a[PACK], b[PACK] = {};
            device::load_pack(a, r.a + first + i);
            if constexpr (F::TWO_INPUTS) device::load_pack(b, r.b + first + i);
#pragma unroll
            for (int k = 0; k < PACK; ++k) {
                if constexpr (WRITE) a[k] = f(a[k], b[k], i + k);
                else f(a[k], b[k], i + k);
            }
            if constexpr (WRITE) device::store_pack(r.y + first + i, a);
        }
        return;
    }
    for (int i = thread; i < r.n; i += threads) {
        const int64_t at = first + i * r.inner;
        A b = 0;
        if constexpr (F::TWO_INPUTS) b = static_cast<A>(r.b[at]);
        if constexpr (WRITE) r.y[at] = static_cast<T>(f(static_cast<A>(r.a[at]), b, i));
        else f(static_cast<A>(r.a[at]), b, i);
    }
}

template <class T> Rows<T> rows_of(Array& y, const Array& a, const Array* b, int64_t outer, int64_t n, int64_t inner) {
    Rows<T> r{y.ptr<T>(), a.ptr<T>(), b ? b->ptr<T>() : nullptr, outer * inner, inner, device::length_of(n, "a row"), false};
    r.packed = inner == 1 && n % device::PACK<T> == 0 && device::aligned_16(r.y) && device::aligned_16(r.a) && device::aligned_16(r.b);
    return r;
}

template <class Rung, class F> void forward(Array& y, const Array& x, int64_t outer, int64_t n, int64_t inner) {
    if (y.size() == 0) return;
    device::by_dtype(y.dtype, [&]<class T>() { Rung::template solve<F>(rows_of<T>(y, x, nullptr, outer, n, inner)); });
}

template <class Rung, class F> void backward(Array& dx, const Array& g, const Array& y, int64_t outer, int64_t n, int64_t inner) {
    if (dx.size() == 0) return;
    device::by_dtype(dx.dtype, [&]<class T>() { Rung::template solve<F>(rows_of<T>(dx, g, &y, outer, n, inner)); });
}

// The four ops of a rung: `Rung::solve<Formula>(rows)` launches. After the rung the chips it is for, if not all.
#define SOFTMAX_RUNG(path, Rung, ...)                                                                                           \
    TG_KERNEL(softmax, path, device::FLOATS, (forward<Rung, Softmax>)__VA_OPT__(, ) __VA_ARGS__)                                \
    TG_KERNEL(log_softmax, path, device::FLOATS, (forward<Rung, LogSoftmax>)__VA_OPT__(, ) __VA_ARGS__)                         \
    TG_KERNEL(softmax_backward, path, device::FLOATS, (backward<Rung, SoftmaxBackward>)__VA_OPT__(, ) __VA_ARGS__)              \
    TG_KERNEL(log_softmax_backward, path, device::FLOATS, (backward<Rung, LogSoftmaxBackward>)__VA_OPT__(, ) __VA_ARGS__)

}  // namespace tg::softmax
