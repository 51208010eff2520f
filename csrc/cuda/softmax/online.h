// The maximum and the sum of exponentials of a row in one pass: a larger maximum rescales the sum so far.
// Milakov, Gimelshein, "Online normalizer calculation for softmax", 2018. Backward needs the sum only; `top` stays unused.
#pragma once
#include "rows.h"

namespace tg::softmax {

template <class F, class A> struct Stats {
    A top, sum;

    __device__ static Stats nothing() { return {LOWEST<A>, A(0)}; }

    __device__ void add(A a, A b) {
        if constexpr (F::SHIFTED) {
            if (a > top) {
                sum *= std::exp(top - a);  // 0 for the first element: exp(-inf)
                top = a;
            }
        }
        sum += share(a, b);
    }

    // Several at once: one new maximum, one rescaling.
    template <int N> __device__ void add(const A (&a)[N], const A (&b)[N]) {
        if constexpr (F::SHIFTED) {
            A largest = a[0];
#pragma unroll
            for (int i = 1; i < N; ++i) largest = device::Largest<A>{}(largest, a[i]);
            if (largest > top) {
                sum *= std::exp(top - largest);
                top = largest;
            }
        }
#pragma unroll
        for (int i = 0; i < N; ++i) sum += share(a[i], b[i]);
    }

    // An element's part of the sum. Infinite ones equal the maximum; NaN makes the sum NaN.
    __device__ A share(A a, A b) const { return F::SHIFTED && a == top ? A(1) : F::part(a, b, top); }

    // What `result` needs: a row whose maximum is infinite has no softmax.
    __device__ A prepared() const { return F::prepared(F::SHIFTED ? sum + (top - top) : sum); }
};

struct MergeStats {
    template <class F, class A> __device__ Stats<F, A> operator()(Stats<F, A> a, Stats<F, A> b) const {
        if constexpr (F::SHIFTED) {
            const A top = b.top > a.top ? b.top : a.top;
            const auto scaled = [&](Stats<F, A> s) { return s.top == top ? s.sum : s.sum * std::exp(s.top - top); };
            return {top, scaled(a) + scaled(b)};
        } else {
            return {A(0), a.sum + b.sum};
        }
    }
};

}  // namespace tg::softmax
