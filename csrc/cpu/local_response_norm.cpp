// local_response_norm and its gradient: x is (N, C, S). A thread takes some pixels of an image through all channels, in vectors.
#include <cmath>
#include <vector>

#include "../core/parallel.h"
#include "../core/registry.h"

namespace tg {
namespace {

constexpr int64_t PIXELS = 128;  // at a time: what a pass over the channels keeps stays in the cache

// s^-beta, in place.
template <class T> void power(T* s, int64_t n, T beta) {
    if (beta == T(0.75))
        for (int64_t i = 0; i < n; ++i) s[i] = 1 / (std::sqrt(s[i]) * std::sqrt(std::sqrt(s[i])));
    else
        for (int64_t i = 0; i < n; ++i) s[i] = std::pow(s[i], -beta);
}

// s[i] = k + scale times the squares over the window of channel c; rows lie S apart.
template <class T> void energy(T* __restrict s, const T* x, int64_t c, int64_t C, int64_t S, int64_t n, int64_t size, T scale, T k) {
    std::fill_n(s, n, T(0));
    for (int64_t w = std::max<int64_t>(0, c - size / 2); w < std::min(C, c + (size - 1) / 2 + 1); ++w)
        for (int64_t i = 0; i < n; ++i) s[i] += x[w * S + i] * x[w * S + i];
    for (int64_t i = 0; i < n; ++i) s[i] = s[i] * scale + k;
}

// f(first element of channel 0, pixels) for parts of the images.
template <class F> void each_part(const Array& x, F&& f) {
    const int64_t C = x.shape[1], S = x.shape[2], parts = (S + PIXELS - 1) / PIXELS;
    parallel_ranges(x.shape[0] * parts, x.size(), [&](int64_t begin, int64_t end) {
        f([&](auto&& part) {
            for (int64_t p = begin; p < end; ++p) part(p / parts * C * S + p % parts * PIXELS, std::min(PIXELS, S - p % parts * PIXELS));
        });
    });
}

void local_response_norm(Array& y, const Array& x, int64_t size, double alpha, double beta, double k) {
    const int64_t C = x.shape[1], S = x.shape[2];
    dispatch_float(x.dtype, "local_response_norm", [&]<class T>() {
        each_part(x, [&](auto&& parts) {
            parts([&](int64_t at, int64_t n) {
                T s[PIXELS];
                for (int64_t c = 0; c < C; ++c) {
                    const T* from = x.ptr<T>() + at;
                    energy(s, from, c, C, S, n, size, T(alpha / double(size)), T(k));
                    power(s, n, T(beta));
                    T* to = y.ptr<T>() + at + c * S;
                    for (int64_t i = 0; i < n; ++i) to[i] = from[c * S + i] * s[i];
                }
            });
        });
    });
}

// With s the energy and t = g x s^(-beta - 1): dx = g s^-beta - 2 alpha beta / size x (t summed over the channels whose windows hold it).
void local_response_norm_backward(Array& dx, const Array& g, const Array& x, int64_t size, double alpha, double beta, double k) {
    const int64_t C = x.shape[1], S = x.shape[2];
    dispatch_float(x.dtype, "local_response_norm_backward", [&]<class T>() {
        const T scale = T(alpha / double(size)), factor = T(2 * alpha * beta / double(size));
        each_part(x, [&](auto&& parts) {
            std::vector<T> kept(size_t(C) * PIXELS);  // t of each channel
            parts([&](int64_t at, int64_t n) {
                const T *from = x.ptr<T>() + at, *grad = g.ptr<T>() + at;
                T* to = dx.ptr<T>() + at;
                T s[PIXELS], f[PIXELS];
                for (int64_t c = 0; c < C; ++c) {
                    energy(s, from, c, C, S, n, size, scale, T(k));
                    std::copy_n(s, n, f);
                    power(f, n, T(beta));
                    for (int64_t i = 0; i < n; ++i) {
                        to[c * S + i] = grad[c * S + i] * f[i];
                        kept[size_t(c * PIXELS + i)] = to[c * S + i] * from[c * S + i] / s[i];
                    }
                }
                for (int64_t c = 0; c < C; ++c) {
                    std::fill_n(s, n, T(0));
                    for (int64_t w = std::max<int64_t>(0, c - (size - 1) / 2); w < std::min(C, c + size / 2 + 1); ++w)
                        for (int64_t i = 0; i < n; ++i) s[i] += kept[size_t(w * PIXELS + i)];
                    for (int64_t i = 0; i < n; ++i) to[c * S + i] -= factor * from[c * S + i] * s[i];
                }
            });
        });
    });
}

TG_KERNEL(local_response_norm, "cpu/window", "float32 float64", local_response_norm)
TG_KERNEL(local_response_norm_backward, "cpu/window", "float32 float64", local_response_norm_backward)

}  // namespace
}  // namespace tg
