// softmax and log-softmax along any dimension of a contiguous array, seen as (outer, n, inner), forward and backward.
// Rows (inner = 1) are swept with vectors along the row; otherwise a bundle of neighbouring columns is swept down together.
// Each row or bundle belongs to one thread: the result does not depend on their number.
#include "../core/registry.h"
#include "logsumexp.h"

namespace tg {
namespace {

using namespace simd;

// f(o) for each row, or f(o, first column, columns) for each bundle, on all threads.
template <class T, class Row, class Bundle> void sweep(int64_t outer, int64_t n, int64_t inner, Row row, Bundle bundle) {
    const bool many = outer * n * inner >= SOFTMAX_PARALLEL_FROM;
    if (n == 0 || inner == 0) return;
    if (inner == 1) {
#pragma omp parallel for schedule(static) if (many)
        for (int64_t o = 0; o < outer; ++o) row(o);
        return;
    }
    constexpr int64_t width = BUNDLE * W<T>;
    const int64_t bundles = (inner + width - 1) / width;
#pragma omp parallel for schedule(static) if (many)
    for (int64_t t = 0; t < outer * bundles; ++t) {
        const int64_t j = t % bundles * width;
        bundle(t / bundles, j, std::min(width, inner - j));
    }
}

void softmax_rows(Array& y_, const Array& x_, int64_t outer, int64_t n, int64_t inner) {
    dispatch_float(x_.dtype, "softmax", [&]<class T>() {
        const T* x = x_.ptr<T>();
        T* y = y_.ptr<T>();
        constexpr int64_t w = W<T>;
        auto row = [=](int64_t o) {
            T* out = y + o * n;
            const T scale = T(1) / row_stats(x + o * n, n, out).sum;
            for (int64_t i = 0; i < n; i += w) store(out + i, load(out + i, n - i, T(0)) * scale, n - i);
        };
        auto bundle = [=](int64_t o, int64_t j, int64_t k) {
            T* out = y + o * n * inner + j;
            Columns<T> c;
            c.read(x + o * n * inner + j, n, inner, k, out);
            for (auto& s : c.sum) s = T(1) / s;
            for (int64_t i = 0; i < n; ++i)
                for (int b = 0; b * w < k; ++b) {
                    T* p = out + i * inner + b * w;
                    store(p, load(p, k - b * w, T(0)) * c.sum[b], k - b * w);
                }
        };
        sweep<T>(outer, n, inner, row, bundle);
    });
}

void log_softmax_rows(Array& y_, const Array& x_, int64_t outer, int64_t n, int64_t inner) {
    dispatch_float(x_.dtype, "log_softmax", [&]<class T>() {
        const T* x = x_.ptr<T>();
        T* y = y_.ptr<T>();
        constexpr int64_t w = W<T>;
        auto row = [=](int64_t o) {
            const T* in = x + o * n;
            const auto s = row_stats<T>(in, n, nullptr);
            const T log_sum = std::log(s.sum);
            for (int64_t i = 0; i < n; i += w) store(y + o * n + i, (load(in + i, n - i, T(0)) - s.max) - log_sum, n - i);
        };
        auto bundle = [=](int64_t o, int64_t j, int64_t k) {
            const int64_t at = o * n * inner + j;
            Columns<T> c;
            c.read(x + at, n, inner, k, nullptr);
            for (auto& s : c.sum) s = log_positive<T>(s);
            for (int64_t i = 0; i < n; ++i)
                for (int b = 0; b * w < k; ++b) {
                    const int64_t p = at + i * inner + b * w;
                    store(y + p, (load(x + p, k - b * w, T(0)) - c.max[b]) - c.sum[b], k - b * w);
                }
        };
        sweep<T>(outer, n, inner, row, bundle);
    });
}

// Both backward passes are a dot product along n and an update: dx = term(g, y) with the sum of part(g, y).
template <class T, class Part, class Term>
void backward(T* dx, const T* g, const T* y, int64_t outer, int64_t n, int64_t inner, Part part, Term term) {
    constexpr int64_t w = W<T>;
    auto row = [=](int64_t o) {
        const T *gr = g + o * n, *yr = y + o * n;
        V<T> total{};
        for (int64_t i = 0; i < n;) {
            V<T> block{};
            for (const int64_t stop = i + SUM_BLOCK * w; i < n && i < stop; i += w)
                block += part(load(gr + i, n - i, T(0)), load(yr + i, n - i, T(0)));
            total += block;
        }
        const V<T> s = all(sum<T>(total));
        for (int64_t i = 0; i < n; i += w)
            store(dx + o * n + i, term(load(gr + i, n - i, T(0)), load(yr + i, n - i, T(0)), s), n - i);
    };
    auto bundle = [=](int64_t o, int64_t j, int64_t k) {
        const int64_t at = o * n * inner + j;
        for (int b = 0; b * w < k; ++b) {
            const int64_t left = k - b * w;
            V<T> total{};
            for (int64_t i = 0; i < n;) {
                V<T> block{};
                for (const int64_t stop = i + SUM_BLOCK; i < n && i < stop; ++i) {
                    const int64_t p = at + i * inner + b * w;
                    block += part(load(g + p, left, T(0)), load(y + p, left, T(0)));
                }
                total += block;
            }
            for (int64_t i = 0; i < n; ++i) {
                const int64_t p = at + i * inner + b * w;
                store(dx + p, term(load(g + p, left, T(0)), load(y + p, left, T(0)), total), left);
            }
        }
    };
    sweep<T>(outer, n, inner, row, bundle);
}

// dx = y (g - sum(g y))
void softmax_backward_rows(Array& dx, const Array& g, const Array& y, int64_t outer, int64_t n, int64_t inner) {
    dispatch_float(y.dtype, "softmax_backward", [&]<class T>() {
        backward(dx.ptr<T>(), g.ptr<T>(), y.ptr<T>(), outer, n, inner, [](V<T> g, V<T> y) { return g * y; },
                 [](V<T> g, V<T> y, V<T> s) { return y * (g - s); });
    });
}

// dx = g - exp(y) sum(g)
void log_softmax_backward_rows(Array& dx, const Array& g, const Array& y, int64_t outer, int64_t n, int64_t inner) {
    dispatch_float(y.dtype, "log_softmax_backward", [&]<class T>() {
        backward(dx.ptr<T>(), g.ptr<T>(), y.ptr<T>(), outer, n, inner, [](V<T> g, V<T>) { return g; },
                 [](V<T> g, V<T> y, V<T> s) { return g - exp<T>(y) * s; });
    });
}

TG_KERNEL(softmax, "cpu/rows", "float32 float64", softmax_rows)
TG_KERNEL(log_softmax, "cpu/rows", "float32 float64", log_softmax_rows)
TG_KERNEL(softmax_backward, "cpu/rows", "float32 float64", softmax_backward_rows)
TG_KERNEL(log_softmax_backward, "cpu/rows", "float32 float64", log_softmax_backward_rows)

}  // namespace
}  // namespace tg
