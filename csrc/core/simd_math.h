// Functions of vectors beyond exp and log: expm1, log1p, tanh, sigmoid, erf. NaN stays NaN.
#pragma once
#include "simd.h"

namespace tg::simd {

template <class T> inline V<T> abs(V<T> x) { return x < T(0) ? -x : x; }

// One lane at a time, for what has no formula of its own here.
template <class T, class F> inline V<T> lanes(V<T> x, F f) {
    for (int i = 0; i < W<T>; ++i) x[i] = f(x[i]);
    return x;
}

template <class T> inline V<T> sqrt(V<T> x) { return lanes<T>(x, [](T v) { return std::sqrt(v); }); }

// e^x - 1, exact near zero, for x below 80: 2^n (e^r - 1) + (2^n - 1) with r as in exp.
template <class T> inline V<T> expm1(V<T> x) {
    constexpr bool single = sizeof(T) == 4;
    x = x < T(-40) ? all(T(-40)) : x;
    const V<T> shifted = x * T(1.4426950408889634074) + MAGIC<T>, n = shifted - MAGIC<T>;
    const V<T> r = single ? (x - n * T(0.693145751953125)) - n * T(1.42860682030941723e-6)
                          : (x - n * T(0.693147180369123816490)) - n * T(1.90821492927058770002e-10);
    V<T> p = all(T(1));  // (e^r - 1) / r = 1 + r/2 (1 + r/3 (1 + ...))
    for (int k = single ? 8 : 15; k >= 2; --k) p = p * r * (T(1) / T(k)) + T(1);
    const V<T> s = scale2<T>(all(T(1)), shifted);
    return p * r * s + (s - T(1));
}

// ln(1 + u) for u in [0, 1], exact near zero.
template <class T> inline V<T> log1p_unit(V<T> u) {
    const V<T> w = u + T(1);
    return log_positive<T>(w) + (u - (w - T(1))) / w;  // what the sum lost, to first order
}

// ln(x): -inf at zero, NaN below; subnormal numbers are scaled up first.
template <class T> inline V<T> log(V<T> x) {
    constexpr T smallest = std::numeric_limits<T>::min(), lift = sizeof(T) == 4 ? T(0x1p24) : T(0x1p54);
    const auto tiny = x < smallest;
    V<T> y = log_positive<T>(tiny ? x * lift : x) - (tiny ? all(T((sizeof(T) == 4 ? 24 : 54) * 0.693147180559945309417)) : V<T>{});
    y = x == T(0) ? all(-std::numeric_limits<T>::infinity()) : y;
    return x < T(0) ? all(std::numeric_limits<T>::quiet_NaN()) : y;
}

template <class T> inline V<T> sigmoid(V<T> x) { return T(1) / (exp<T>(-x) + T(1)); }

// tanh |x| = m / (m + 2) with m = e^(2|x|) - 1; from 20 on it is 1.
template <class T> inline V<T> tanh(V<T> x) {
    const V<T> a = abs<T>(x), m = expm1<T>((a > T(20) ? all(T(20)) : a) * T(2)), t = m / (m + T(2));
    return x < T(0) ? -t : x == T(0) ? x : t;
}

// The sine and cosine of 2 pi v for v in [0, 1): the nearest quarter turn is taken off, Taylor series do the rest.
template <class T> inline void sincos_turns(V<T> v, V<T>& sin, V<T>& cos) {
    constexpr int TERMS = sizeof(T) == 4 ? 5 : 9;
    const V<T> shifted = v * T(4) + MAGIC<T>, quarter = shifted - MAGIC<T>;  // 0 to 4
    const V<T> x = (v - quarter * T(0.25)) * T(6.283185307179586477), q = x * x;
    V<T> s = all(T(1)), c = all(T(1));
    for (int k = TERMS; k >= 1; --k) {
        s = T(1) - s * q * (T(1) / T(2 * k * (2 * k + 1)));
        c = T(1) - c * q * (T(1) / T(2 * k * (2 * k - 1)));
    }
    s = s * x;
    const auto odd = (quarter == T(1)) | (quarter == T(3)), low = (quarter == T(2)) | (quarter == T(3));
    sin = odd ? c : s;
    sin = low ? -sin : sin;
    cos = odd ? s : c;
    cos = ((quarter == T(1)) | (quarter == T(2))) ? -cos : cos;
}

// ln(1 + e^x), without overflow.
template <class T> inline V<T> softplus(V<T> x) {
    return (x < T(0) ? V<T>{} : x) + log1p_unit<T>(exp<T>(-abs<T>(x)));
}

// tanh(ln(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2); from 20 on it is 1.
template <class T> inline V<T> tanh_softplus(V<T> x) {
    const V<T> e = exp<T>(x > T(20) ? all(T(20)) : x), n = e * (e + T(2));
    return n / (n + T(2));
}

// erfc(z) for z >= 0. float: e^(-z^2) t Q(t) with t = 1 / (1 + z/2), Q fitted to a relative error of 4e-8. double: libm.
template <class T> inline V<T> erfc_positive(V<T> z) {
    if constexpr (sizeof(T) == 8) {
        return lanes<T>(z, [](T v) { return std::erfc(v); });
    } else {
        constexpr T Q[] = {T(0.2820887029), T(0.2823358377), T(0.2433872441), T(0.2015773758), T(-0.0240276297),
                           T(0.2743256376), T(-0.4839518303), T(0.2830156519), T(-0.05875103176)};
        const V<T> t = T(1) / (z * T(0.5) + T(1));
        V<T> p = all(Q[8]);
        for (int k = 7; k >= 0; --k) p = p * t + Q[k];
        return exp<T>(-z * z) * (t * p);
    }
}

// erf(x). float: an odd polynomial below 0.9 (relative error 1e-8), else 1 - erfc. double: libm.
template <class T> inline V<T> erf(V<T> x) {
    if constexpr (sizeof(T) == 8) {
        return lanes<T>(x, [](T v) { return std::erf(v); });
    } else {
        constexpr T P[] = {T(1.128379154), T(-0.3761252328), T(0.112821408), T(-0.02677890862), T(0.005011962413), T(-0.0006090358003)};
        const V<T> a = abs<T>(x), q = x * x;
        V<T> p = all(P[5]);
        for (int k = 4; k >= 0; --k) p = p * q + P[k];
        const V<T> far = T(1) - erfc_positive<T>(a);
        return a < T(0.9) ? p * x : x < T(0) ? -far : far;
    }
}

template <class T> inline V<T> erfc(V<T> x) {
    return lanes<T>(x, [](T v) { return std::erfc(v); });
}

// The normal distribution: the chance of less than x, exact in the lower tail, and its density.
template <class T> inline V<T> normal_cdf(V<T> x) {
    const V<T> tail = erfc_positive<T>(abs<T>(x) * T(0.707106781186547524401)) * T(0.5);
    return x < T(0) ? tail : T(1) - tail;
}
template <class T> inline V<T> normal_pdf(V<T> x) { return exp<T>(x * x * T(-0.5)) * T(0.398942280401432677940); }

}  // namespace tg::simd
