// What a production rung does with a sum on its way to C: C = act(alpha A B + beta C0 + bias), in fp32 (fp64 for doubles), rounded once.
//
// A kernel takes an epilogue by value, `Plain` or `Fused<T>`, and stores T(epilogue(sum, row, column)) at (row, column) of C; only where
// that is inside of C. `of_batch` is due before, as for the problem; late, so that it costs the main loop no registers.
#pragma once
#include "problem.h"

namespace tg::matmul {

enum class Activation { none, relu, gelu, gelu_tanh, silu };  // the numbers ops/gemm.py gives them
constexpr int64_t ACTIVATIONS = 5;

template <class T> using SumOf = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class S> __device__ S activate(S x, Activation activation) {
    if (activation == Activation::none) return x;
    if (activation == Activation::relu) return x < 0 ? S(0) : x;  // NaN stays NaN
    if (activation == Activation::gelu) return S(0.5) * x * erfc(x * S(-0.70710678118654752));
    // x sigmoid(t): silu has t = x, and (1 + tanh u) / 2 is sigmoid(2 u)
    const S t = activation == Activation::silu ? x : x * (S(1.5957691216057308) + S(0.07135481627260025) * x * x);
    return x / (1 + exp(-t));
}

struct Plain {  // C = A B
    template <class T> __host__ __device__ Plain of_batch(const Problem<T>&, int) const { return {}; }
    template <class S> __device__ S operator()(S sum, int, int) const { return sum; }
};

template <class T> struct Fused {
    using Sum = SumOf<T>;
    Sum alpha, beta;
    Activation activation;
    Matrix<const T> C0, bias;  // no data: none; steps of 0 where they are broadcast, so a bias may be one per column or one per row

    // Both addends are None (an Array that is false) or broadcast to C as NumPy would.
    Fused(const Array& out, const Array& c0, const Array& bias, double alpha, double beta, int64_t activation)
        : alpha(Sum(alpha)), beta(Sum(beta)), activation(Activation(activation)), C0(broadcast(c0, out)), bias(broadcast(bias, out)) {
        if (activation < 0 || activation >= ACTIVATIONS)
            throw std::invalid_argument("there is no activation number " + std::to_string(activation));
    }

    static Matrix<const T> broadcast(const Array& a, const Array& out) {
        if (!a) return {};
        if (a.dtype != out.dtype || a.ndim > out.ndim) throw std::invalid_argument("an addend has another dtype or more dimensions than C");
        Array whole = out;  // its dimensions, the addend's steps
        whole.data = a.data;
        for (int d = 0; d < out.ndim; ++d) {
            const int i = d - (out.ndim - a.ndim);
            const bool varies = i >= 0 && a.shape[i] != 1;
            if (varies && a.shape[i] != out.shape[d]) throw std::invalid_argument("an addend does not broadcast to C");
            whole.strides[d] = varies ? a.strides[i] : 0;
        }
        return matrix<const T>(whole, out);
    }

    __host__ __device__ Fused of_batch(const Problem<T>& p, int number) const {
        Fused e = *this;
        number += p.first;
        for (int d = MAX_BATCH_DIMS - 1; d >= 0; --d) {
            const int i = number % p.shape[d];
            number /= p.shape[d];
            e.C0.data += i * C0.batch[d];
            e.bias.data += i * bias.batch[d];
        }
        return e;
    }

    __device__ Sum operator()(Sum sum, int row, int column) const {
        sum *= alpha;
        if (C0.data) sum += beta * Sum(C0(row, column));
        if (bias.data) sum += Sum(bias(row, column));
        return activate(sum, activation);
    }
};

// The two kernels of a rung that computes the dtypes T: `Rung()(problem, epilogue)` launches it.
template <class Rung, class... T> void plain(Array& out, const Array& a, const Array& b) {
    by_dtype<T...>(out, a, b, []<class U>(const Problem<U>& p) { Rung()(p, Plain()); });
}
template <class Rung, class... T>
void fused(Array& out, const Array& a, const Array& b, const Array& c0, const Array& bias, double alpha, double beta, int64_t activation) {
    by_dtype<T...>(out, a, b, [&]<class U>(const Problem<U>& p) { Rung()(p, Fused<U>(out, c0, bias, alpha, beta, activation)); });
}

}  // namespace tg::matmul
