// Element-wise maps: y = f(a, b, ...) over arrays of any strides that broadcast to y, vector by vector.
#pragma once
#include "parallel.h"
#include "registry.h"
#include "simd.h"

namespace tg {

// Where the elements of N inputs lie as y, which is contiguous, is written in order. Dimensions that all inputs step through evenly are
// merged, so that the last one is as long as can be.
template <int N> struct Plan {
    int ndim = 0;
    int64_t total = 1;
    int64_t shape[MAX_DIMS + 1], step[MAX_DIMS + 1][N];

    Plan(const Array& y, const Array* const (&in)[N]) {
        for (int d = 0; d < y.ndim; ++d) {
            const int64_t n = y.shape[d];
            total *= n;
            if (n == 1) continue;
            int64_t s[N];
            bool merges = ndim > 0;
            for (int j = 0; j < N; ++j) {
                const int own = d - (y.ndim - in[j]->ndim);  // dimensions align at the end
                s[j] = own < 0 || in[j]->shape[own] == 1 ? 0 : in[j]->strides[own];
                merges = merges && step[ndim - 1][j] == s[j] * n;
            }
            if (!merges) shape[ndim++] = 1;
            shape[ndim - 1] *= n;
            for (int j = 0; j < N; ++j) step[ndim - 1][j] = s[j];
        }
        if (ndim == 0) {
            shape[ndim++] = 1;
            for (int j = 0; j < N; ++j) step[0][j] = 0;
        }
    }
};

template <class T> inline simd::V<T> fetch(const T* p, int64_t step, int64_t k) {
    if (step == 1) return simd::load<T>(p, k, T(1));
    simd::V<T> v = simd::all(k > 0 && step == 0 ? *p : T(1));
    if (step != 0)
        for (int64_t i = 0; i < (k < simd::W<T> ? k : simd::W<T>); ++i) v[i] = p[i * step];
    return v;
}

// y = f(a, ...): f takes and returns vectors. Lanes past the end hold 1. Where f has two results it leaves the one for `second` in its
// last argument.
template <class T, int N, class F> void map(Array& y, const Array* const (&in)[N], F f, Array* second = nullptr) {
    using V = simd::V<T>;
    constexpr bool PAIR = requires(V v) { f(v, v, v, v); };
    constexpr int64_t W = simd::W<T>;
    const Plan<N> plan(y, in);
    const int last = plan.ndim - 1;
    const int64_t row = plan.shape[last];
    if (plan.total == 0) return;
    parallel_ranges((plan.total + W - 1) / W, plan.total, [&](int64_t first, int64_t stop) {
        int64_t at = first * W;
        const int64_t end = std::min(stop * W, plan.total);
        int64_t index[MAX_DIMS + 1];
        for (int64_t d = last, rest = at; d >= 0; rest /= plan.shape[d--]) index[d] = rest % plan.shape[d];
        while (at < end) {
            const int64_t n = std::min(row - index[last], end - at);
            const T* p[N];
            for (int j = 0; j < N; ++j) {
                p[j] = in[j]->template ptr<T>();
                for (int d = 0; d <= last; ++d) p[j] += index[d] * plan.step[d][j];
            }
            T* out = y.ptr<T>() + at;
            for (int64_t i = 0; i < n; i += W) {
                V v[N];
                for (int j = 0; j < N; ++j) v[j] = fetch<T>(p[j] + i * plan.step[last][j], plan.step[last][j], n - i);
                if constexpr (PAIR) {
                    V more;
                    simd::store<T>(out + i, f(v[0], v[1], v[2], more), n - i);
                    simd::store<T>(second->template ptr<T>() + at + i, more, n - i);
                } else if constexpr (N == 1) simd::store<T>(out + i, f(v[0]), n - i);
                else if constexpr (N == 3) simd::store<T>(out + i, f(v[0], v[1], v[2]), n - i);
                else simd::store<T>(out + i, f(v[0], v[1]), n - i);
            }
            at += n;
            index[last] = 0;
            for (int d = last - 1; d >= 0 && ++index[d] == plan.shape[d]; --d) index[d] = 0;
        }
    });
}

}  // namespace tg
