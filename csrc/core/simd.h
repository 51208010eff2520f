// Vectors of the build's width through GCC's vector extensions: one source for AVX-512, AVX2, SSE2 and NEON.
// Arithmetic is written with ordinary operators; `mask ? a : b` selects lane by lane.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

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

// e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln(2) / 2. Exact limits: 0 at -inf, inf at overflow, NaN stays NaN.
// float: minimax-like polynomial, about 1 ulp; double: Taylor series to r^13. The scale 2^n is applied in two steps, so that
// results below the normal range lose digits only gradually.
template <class T> inline V<T> exp(V<T> x);

template <> inline V<float> exp<float>(V<float> x) {
    using F = V<float>;
    using I = Types<float>::I;
    x = x < -105.0f ? all(-105.0f) : x;
    x = x > 89.0f ? all(89.0f) : x;
    constexpr float MAGIC = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, kept in the low bits
    const F shifted = x * 1.44269504088896341f + MAGIC;
    const F n = shifted - MAGIC;
    const F r = (x - n * 0.693145751953125f) - n * 1.42860682030941723e-6f;
    F p = r * 1.392618358789804e-3f + 8.363179052708032e-3f;
    p = p * r + 4.166655461720591e-2f;
    p = p * r + 1.666657697698898e-1f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
    const I k = reinterpret_cast<I>(shifted) - 0x4B400000;  // the bits of MAGIC
    const I half = k >> 1;
    return p * reinterpret_cast<F>((half + 127) << 23) * reinterpret_cast<F>((k - half + 127) << 23);
}

template <> inline V<double> exp<double>(V<double> x) {
    using F = V<double>;
    using I = Types<double>::I;
    x = x < -746.0 ? all(-746.0) : x;
    x = x > 710.0 ? all(710.0) : x;
    constexpr double MAGIC = 6755399441055744.0;  // 1.5 * 2^52
    const F shifted = x * 1.4426950408889634074 + MAGIC;
    const F n = shifted - MAGIC;
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
    const I k = reinterpret_cast<I>(shifted) - 0x4338000000000000;
    const I half = k >> 1;
    return p * reinterpret_cast<F>((half + 1023) << 52) * reinterpret_cast<F>((k - half + 1023) << 52);
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
