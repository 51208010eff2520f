// Vectors of the build's width through GCC's vector extensions: one source for AVX-512, AVX2, SSE2 and NEON.
// Arithmetic is written with ordinary operators; `mask ? a : b` selects lane by lane.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace tg::simd {

#if defined(__AVX512F__)
constexpr int BYTES = 64;
#elif defined(__AVX2__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif

template <class T> struct Types;
template <> struct Types<float> {
    typedef float V __attribute__((vector_size(BYTES), may_alias));
    typedef float U __attribute__((vector_size(BYTES), may_alias, aligned(4)));  // a vector anywhere in memory
    typedef int32_t I __attribute__((vector_size(BYTES), may_alias));
};
template <> struct Types<double> {
    typedef double V __attribute__((vector_size(BYTES), may_alias));
    typedef double U __attribute__((vector_size(BYTES), may_alias, aligned(8)));
    typedef int64_t I __attribute__((vector_size(BYTES), may_alias));
};
template <class T> using V = typename Types<T>::V;
template <class T> constexpr int W = BYTES / int(sizeof(T));  // lanes

template <class T> inline V<T> all(T value) { return value - V<T>{}; }
template <class T> inline V<T> load(const T* p) { return *reinterpret_cast<const typename Types<T>::U*>(p); }
template <class T> inline void store(T* p, V<T> v) { *reinterpret_cast<typename Types<T>::U*>(p) = v; }

// The first k lanes from memory, `fill` in the others; and the way back.
template <class T> inline V<T> load(const T* p, int64_t k, T fill) {
    if (k >= W<T>) return load(p);
    V<T> v = all<T>(fill);
    for (int64_t i = 0; i < k; ++i) v[i] = p[i];
    return v;
}
template <class T> inline void store(T* p, V<T> v, int64_t k) {
    if (k >= W<T>) return store(p, v);
    for (int64_t i = 0; i < k; ++i) p[i] = v[i];
}

template <class T> inline V<T> max(V<T> a, V<T> b) { return a > b ? a : b; }

template <class T> inline T sum(V<T> v) {
    for (int half = W<T> / 2; half; half /= 2)
        for (int i = 0; i < half; ++i) v[i] += v[i + half];
    return v[0];
}
template <class T> inline T max(V<T> v) {
    T m = v[0];
    for (int i = 1; i < W<T>; ++i) m = v[i] > m ? v[i] : m;
    return m;
}

// p 2^n for whole n, exact where it underflows or overflows; `shifted` is n + MAGIC, whose low bits hold n.
template <class T> constexpr T MAGIC = sizeof(T) == 4 ? T(12582912.0) : T(6755399441055744.0);  // 1.5 * 2^23, 1.5 * 2^52

template <class T> inline V<T> scale2(V<T> p, V<T> shifted) {
#if defined(__AVX512F__)
    const V<T> n = shifted - MAGIC<T>;
    if constexpr (sizeof(T) == 4) return _mm512_maskz_scalef_ps(0xFFFF, p, n);  // (the unmasked form warns in GCC 12)
    else return _mm512_maskz_scalef_pd(0xFF, p, n);
#else
    using I = typename Types<T>::I;
    constexpr int mantissa = sizeof(T) == 4 ? 23 : 52, bias = sizeof(T) == 4 ? 127 : 1023;
    const I k = reinterpret_cast<I>(shifted) - reinterpret_cast<I>(all(MAGIC<T>)), half = k >> 1;  // in two steps: 2^n may not exist
    return p * reinterpret_cast<V<T>>((half + bias) << mantissa) * reinterpret_cast<V<T>>((k - half + bias) << mantissa);
#endif
}

// e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln(2) / 2. Exact limits: 0 at -inf, inf at overflow, NaN stays NaN.
// float: minimax-like polynomial, about 1 ulp; double: Taylor series to r^13.
template <class T> inline V<T> exp(V<T> x);

template <> inline V<float> exp<float>(V<float> x) {
    using F = V<float>;
    x = x < -105.0f ? all(-105.0f) : x;
    x = x > 89.0f ? all(89.0f) : x;
    const F shifted = x * 1.44269504088896341f + MAGIC<float>;  // rounds to an integer
    const F n = shifted - MAGIC<float>;
    const F r = (x - n * 0.693145751953125f) - n * 1.42860682030941723e-6f;
    F p = r * 1.392618358789804e-3f + 8.363179052708032e-3f;
    p = p * r + 4.166655461720591e-2f;
    p = p * r + 1.666657697698898e-1f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
    return scale2<float>(p, shifted);
}

template <> inline V<double> exp<double>(V<double> x) {
    using F = V<double>;
    x = x < -746.0 ? all(-746.0) : x;
    x = x > 710.0 ? all(710.0) : x;
    const F shifted = x * 1.4426950408889634074 + MAGIC<double>;
    const F n = shifted - MAGIC<double>;
    const F r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    F p = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * (r * r) + r + 1.0;
    return scale2<double>(p, shifted);
}

// 2^x by the same means: 0 at -inf, inf at overflow, NaN stays NaN.
template <class T> inline V<T> exp2(V<T> x);

template <> inline V<float> exp2<float>(V<float> x) {
    using F = V<float>;
    x = x < -151.0f ? all(-151.0f) : x;
    x = x > 129.0f ? all(129.0f) : x;
    const F shifted = x + MAGIC<float>, r = x - (shifted - MAGIC<float>);
    F p = r * 1.545316294e-4f + 1.339086336e-3f;
    p = p * r + 9.618082557e-3f;
    p = p * r + 5.550357114e-2f;
    p = p * r + 2.402265076e-1f;
    p = p * r + 6.931471880e-1f;
    p = p * r + 1.0f;
    return scale2<float>(p, shifted);
}

template <> inline V<double> exp2<double>(V<double> x) {
    return exp<double>((x < -1080.0 ? all(-1080.0) : x) * 0.693147180559945309417);
}

// ln(x) of positive normal numbers: x = 2^e m with m near 1, ln m = 2 artanh((m - 1) / (m + 1)). Inf and NaN stay what they are.
template <class T> inline V<T> log_positive(V<T> x) {
    using I = typename Types<T>::I;
    constexpr bool single = sizeof(T) == 4;
    constexpr int mantissa = single ? 23 : 52;
    constexpr auto root_half = single ? int64_t(0x3F3504F3) : int64_t(0x3FE6A09E667F3BCD);  // the bits of sqrt(1/2)
    const I bits = reinterpret_cast<I>(x);
    const I e = (bits - root_half) >> mantissa;
    const V<T> m = reinterpret_cast<V<T>>(bits - (e << mantissa));
    const V<T> f = (m - T(1)) / (m + T(1)), q = f * f;
    V<T> s = all(T(1) / T(single ? 11 : 23));
    for (int k = single ? 9 : 21; k >= 1; k -= 2) s = s * q + T(1) / T(k);
    const V<T> y = T(2) * f * s + __builtin_convertvector(e, V<T>) * T(0.693147180559945309417);
    return x - x == T(0) ? y : x;
}

}  // namespace tg::simd
