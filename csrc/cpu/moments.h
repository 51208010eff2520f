// Sums for normalisation that keep their digits.
//
// The sums of (x - shift) and (x - shift)^2 run in double. With the shift taken from the data, (shift - mean)^2 is at most n times
// the variance, so that squares - sum^2 / n loses at most n * 2^-53 of the variance: one pass is enough, whatever the mean.
// A mean is kept as double and used as the sum of two T: x - high is exact where x is near the mean, and `low` corrects the rest.
#pragma once
#include <cmath>
#include <cstdint>

namespace tg {

struct Moments {
    double sum = 0, squares = 0;

    double mean(double shift, double n) const { return shift + sum / n; }
    double variance(double n) const { return std::fmax(0.0, (squares - sum * (sum / n)) / n); }
};

template <class T> inline void add_moments(Moments& m, const T* __restrict x, int64_t n, T shift) {
    double sum = 0, squares = 0;
    const double offset = shift;
#pragma omp simd reduction(+ : sum, squares)
    for (int64_t i = 0; i < n; ++i) {
        const double d = double(x[i]) - offset;
        sum += d;
        squares += d * d;
    }
    m.sum += sum;
    m.squares += squares;
}

// The sum of g and of g * (x - high), where `high` is the mean or near it: in T over short stretches, those in double.
template <class T> inline void add_products(Moments& m, const T* __restrict g, const T* __restrict x, int64_t n, T high) {
    constexpr int64_t STRETCH = 512;
    for (int64_t begin = 0; begin < n; begin += STRETCH) {
        const int64_t end = begin + STRETCH < n ? begin + STRETCH : n;
        T sum = 0, products = 0;
#pragma omp simd reduction(+ : sum, products)
        for (int64_t i = begin; i < end; ++i) {
            sum += g[i];
            products += g[i] * (x[i] - high);
        }
        m.sum += double(sum);
        m.squares += double(products);
    }
}

template <class T> struct Split {  // a double as the sum of two T
    T high;
    double low;
    explicit Split(double value) : high(T(value)), low(value - double(high)) {}
};

}  // namespace tg
