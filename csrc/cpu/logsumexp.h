// Maximum and sum of exponentials, the part that softmax and cross-entropy share.
// A tensor is seen as (outer, n, inner): rows when inner is 1, else bundles of neighbouring columns.
#pragma once
#include "../core/simd.h"

namespace tg {

constexpr int64_t SOFTMAX_PARALLEL_FROM = 1 << 15;  // elements
constexpr int64_t SUM_BLOCK = 128;                  // vectors added before they join the total: keeps float32 sums exact enough

template <class T> struct Stats {
    T max, sum;  // of exp(x - max)
};

// One row of n; with `y`, the exponentials are kept there. NaN and rows of -inf give a NaN sum.
template <class T> Stats<T> row_stats(const T* x, int64_t n, T* y) {
    using namespace simd;
    constexpr T LOW = -std::numeric_limits<T>::infinity();
    constexpr int64_t w = W<T>;
    V<T> m0 = all(LOW), m1 = m0;
    int64_t i = 0;
    for (; i + 2 * w <= n; i += 2 * w) {
        m0 = max<T>(m0, load(x + i));
        m1 = max<T>(m1, load(x + i + w));
    }
    for (; i < n; i += w) m0 = max<T>(m0, load(x + i, n - i, LOW));
    const T top = max<T>(max<T>(m0, m1));
    V<T> total{};
    for (i = 0; i < n;) {
        V<T> part{};
        for (const int64_t stop = i + SUM_BLOCK * w; i < n && i < stop; i += w) {
            const V<T> v = load(x + i, n - i, LOW);
            V<T> e = exp<T>(v - top);
            if (y) store(y + i, e, n - i);
            if (n - i < w)  // with an infinite maximum the padding lanes are NaN
                for (int64_t k = n - i; k < w; ++k) e[k] = 0;
            part += e;
        }
        total += part;
    }
    return {top, sum<T>(total)};
}

// Up to BUNDLE vectors of neighbouring columns; consecutive rows lie `stride` apart.
constexpr int BUNDLE = 4;

template <class T> struct Columns {
    simd::V<T> max[BUNDLE], sum[BUNDLE];

    // k columns (1 .. BUNDLE * W), n rows; with `y`, the exponentials are kept there
    void read(const T* x, int64_t n, int64_t stride, int64_t k, T* y) {
        using namespace simd;
        constexpr int64_t w = W<T>;
        const int vectors = int((k + w - 1) / w);
        for (int b = 0; b < BUNDLE; ++b) max[b] = all(-std::numeric_limits<T>::infinity()), sum[b] = V<T>{};
        for (int64_t i = 0; i < n; ++i)
            for (int b = 0; b < vectors; ++b) {
                const V<T> v = load(x + i * stride + b * w, k - b * w, T(0));
                max[b] = v > max[b] ? v : max[b];
            }
        for (int64_t i = 0; i < n;) {
            V<T> part[BUNDLE]{};
            for (const int64_t stop = i + SUM_BLOCK; i < n && i < stop; ++i)
                for (int b = 0; b < vectors; ++b) {
                    const V<T> e = exp<T>(load(x + i * stride + b * w, k - b * w, T(0)) - max[b]);
                    if (y) store(y + i * stride + b * w, e, k - b * w);
                    part[b] += e;
                }
            for (int b = 0; b < vectors; ++b) sum[b] += part[b];
        }
    }
};

}  // namespace tg
