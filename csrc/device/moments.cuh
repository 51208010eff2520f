// Mean and variance in one pass that keeps its digits: a count, the mean so far and the sum of squares around it, merged pair by pair.
// Welford, "Note on a method for calculating corrected sums of squares and products", 1962; Chan, Golub, LeVeque, 1979.
#pragma once
#include "reduce.cuh"

namespace tg::device {

template <class A> struct Moments {
    A count, mean, squares;  // squares: the sum of (x - mean)^2

    __device__ static Moments nothing() { return {A(0), A(0), A(0)}; }
    __device__ A variance() const { return squares / count; }

    // N values at once: their own mean and squares first, so that there is one division for all of them.
    template <int N> __device__ void add(const A (&x)[N]) {
        A sum = 0, around = 0;
#pragma unroll
        for (int i = 0; i < N; ++i) sum += x[i];
        const A middle = sum / A(N);
#pragma unroll
        for (int i = 0; i < N; ++i) around += (x[i] - middle) * (x[i] - middle);
        *this = merged({A(N), middle, around});
    }

    __device__ Moments merged(const Moments& o) const {
        const A all = count + o.count;
        if (all == 0) return *this;
        const A apart = o.mean - mean;
        return {all, (count * mean + o.count * o.mean) / all, squares + o.squares + apart * apart * (count * o.count / all)};
    }
};

struct MergeMoments {
    template <class A> __device__ Moments<A> operator()(const Moments<A>& a, const Moments<A>& b) const { return a.merged(b); }
};

// A mean kept as double, used as the sum of two A: x - high is exact where x is near the mean, `low` corrects the rest.
template <class A> struct Split {
    A high, low;
    __device__ explicit Split(double value) : high(A(value)), low(A(value - double(high))) {}
};

}  // namespace tg::device
