// What a formula of csrc/core/formulas becomes here: a functor of scalars, mapped over arrays of each floating dtype.
#pragma once
#include <cmath>

#include "map.h"

namespace tg::pointwise {

namespace math {  // the functions formulas are made of, in full precision

template <class T> __device__ __forceinline__ T all(T x) { return x; }
#define TG_FUNCTION(name) \
    template <class T> __device__ __forceinline__ T name(T x) { return std::name(x); }
TG_FUNCTION(sqrt) TG_FUNCTION(exp) TG_FUNCTION(exp2) TG_FUNCTION(expm1) TG_FUNCTION(log) TG_FUNCTION(log1p) TG_FUNCTION(log2)
TG_FUNCTION(log10) TG_FUNCTION(tanh) TG_FUNCTION(erf) TG_FUNCTION(erfc) TG_FUNCTION(sin) TG_FUNCTION(cos) TG_FUNCTION(tan)
TG_FUNCTION(asin) TG_FUNCTION(acos) TG_FUNCTION(atan) TG_FUNCTION(sinh) TG_FUNCTION(cosh) TG_FUNCTION(asinh) TG_FUNCTION(acosh)
TG_FUNCTION(atanh) TG_FUNCTION(floor) TG_FUNCTION(ceil) TG_FUNCTION(trunc) TG_FUNCTION(rint)
#undef TG_FUNCTION
template <class T> __device__ __forceinline__ T sigmoid(T x) { return T(1) / (std::exp(-x) + T(1)); }
template <class T> __device__ __forceinline__ T softplus(T x) { return (x < T(0) ? T(0) : x) + std::log1p(std::exp(x < T(0) ? x : -x)); }
template <class T> __device__ __forceinline__ T tanh_softplus(T x) {  // n / (n + 2) with n = e^x (e^x + 2); from 20 on it is 1
    const T e = std::exp(x > T(20) ? T(20) : x), n = e * (e + T(2));
    return n / (n + T(2));
}
template <class T> __device__ __forceinline__ T normal_cdf(T x) { return std::erfc(x * T(-0.707106781186547524401)) * T(0.5); }
template <class T> __device__ __forceinline__ T normal_pdf(T x) { return std::exp(x * x * T(-0.5)) * T(0.398942280401432677940); }

}  // namespace math

#define TG_FLOATS "float32 float64 float16 bfloat16"

// Calls f.template operator()<S>() for the C++ type behind a floating dtype.
template <class F> void by_float(DType dtype, const char* op, F&& f) {
    switch (dtype) {
        case DType::float32: return f.template operator()<float>();
        case DType::float64: return f.template operator()<double>();
        case DType::float16: return f.template operator()<__half>();
        case DType::bfloat16: return f.template operator()<__nv_bfloat16>();
        default: throw std::invalid_argument(std::string(op) + ": the kernel computes " TG_FLOATS);
    }
}

// y = formula(in...), computed in the dtype of y, half precision in float.
template <template <class> class Formula, int N, class... Number>
void map_floats(const char* op, Array& y, const Array* const (&in)[N], Number... n) {
    by_float(y.dtype, op, [&]<class S>() {
        run<S, S, S>(layout_of<S>(op, y, in), Formula<Computed<S>>{Computed<S>(n)...});
    });
}

// A functor over `parameters`; the numbers in it are n.
#define TG_FORMULA(name, count, parameters, result, ...)                 \
    template <class T> struct name {                                     \
        T n[count + 1];                                                  \
        __device__ __forceinline__ T operator() parameters const {       \
            using V [[maybe_unused]] = T;                                \
            __VA_ARGS__                                                  \
            return result;                                               \
        }                                                                \
    };

#define TG_UNARY(op, expression, ...)                                                                                              \
    TG_FORMULA(op##_formula, 0, (T x), (expression), __VA_ARGS__)                                                                      \
    void op##_map(Array& y, const Array& a) { map_floats<op##_formula>(#op, y, {&a}); }                                          \
    TG_KERNEL(op, "cuda/vectorized", TG_FLOATS, op##_map)
#define TG_BINARY(op, expression, ...)                                                                                             \
    TG_FORMULA(op##_formula, 0, (T x, T y), (expression), __VA_ARGS__)                                                                    \
    void op##_map(Array& y, const Array& a, const Array& b) { map_floats<op##_formula>(#op, y, {&a, &b}); }                      \
    TG_KERNEL(op, "cuda/vectorized", TG_FLOATS, op##_map)
#define TG_TERNARY(op, expression, ...)                                                                                          \
    TG_FORMULA(op##_formula, 0, (T x, T y, T z), (expression), __VA_ARGS__)                                                      \
    void op##_map(Array& out, const Array& a, const Array& b, const Array& c) { map_floats<op##_formula>(#op, out, {&a, &b, &c}); } \
    TG_KERNEL(op, "cuda/vectorized", TG_FLOATS, op##_map)

// Two results: the functor returns the first and leaves the second behind its operands.
#define TG_PAIR(op, first, second, ...)                                                                                          \
    TG_FORMULA(op##_formula, 0, (T x, T y, T z, T& more), (first), __VA_ARGS__ more = (second);)                                 \
    void op##_map(Array& out, Array& more, const Array& a, const Array& b, const Array& c) {                                     \
        map_floats<op##_formula>(#op, out, {&a, &b, &c, &more});                                                                 \
    }                                                                                                                            \
    TG_KERNEL(op, "cuda/vectorized", TG_FLOATS, op##_map)

}  // namespace tg::pointwise
