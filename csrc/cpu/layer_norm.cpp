// layer_norm and rms_norm over rows: y = (x - mean) * rstd * weight + bias, with the row in cache between its two passes.
//
// Backward makes dx, dweight and dbias in one walk: with xhat = (x - mean) rstd and gw = g weight,
//   dx = rstd (gw - mean(gw) - xhat mean(gw xhat)),  dweight = sum over rows of g xhat,  dbias = sum over rows of g.
// The sums over rows are made per chunk of rows; the number of chunks depends on the shape alone (Python gives the workspace), so
// that any thread count adds in the same order.
#include <vector>

#include "../core/parallel.h"
#include "../core/registry.h"
#include "moments.h"

namespace tg {
namespace {

template <class T> T* rows_of(const Array& a) { return a ? a.ptr<T>() : nullptr; }

// y = (x - high) * scale * w + (b - low * scale * w), each term where it is there.
template <class T> void affine_row(T* __restrict y, const T* __restrict x, const T* __restrict w, const T* __restrict b, int64_t n, T high, T low, T scale) {
    if (w && b)
        for (int64_t i = 0; i < n; ++i) y[i] = ((x[i] - high) - low) * scale * w[i] + b[i];
    else if (w)
        for (int64_t i = 0; i < n; ++i) y[i] = ((x[i] - high) - low) * scale * w[i];
    else if (b)
        for (int64_t i = 0; i < n; ++i) y[i] = ((x[i] - high) - low) * scale + b[i];
    else
        for (int64_t i = 0; i < n; ++i) y[i] = ((x[i] - high) - low) * scale;
}

// y (R, D), mean and rstd (R) float64, x (R, D), weight and bias (D) or None.
void layer_norm(Array& y, Array& mean, Array& rstd, const Array& x, const Array& weight, const Array& bias, double eps) {
    const int64_t R = x.shape[0], D = x.shape[1];
    dispatch_float(x.dtype, "layer_norm", [&]<class T>() {
        parallel_ranges(R, x.size(), [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
                const T* row = x.ptr<T>() + r * D;
                Moments m;
                if (D) add_moments(m, row, D, row[0]);
                const double mu = m.mean(D ? double(row[0]) : 0, double(D)), scale = 1 / std::sqrt(m.variance(double(D)) + eps);
                mean.ptr<double>()[r] = mu;
                rstd.ptr<double>()[r] = scale;
                const Split<T> s(mu);
                affine_row(y.ptr<T>() + r * D, row, rows_of<T>(weight), rows_of<T>(bias), D, s.high, T(s.low), T(scale));
            }
        });
    });
}

void rms_norm(Array& y, Array& rstd, const Array& x, const Array& weight, double eps) {
    const int64_t R = x.shape[0], D = x.shape[1];
    dispatch_float(x.dtype, "rms_norm", [&]<class T>() {
        parallel_ranges(R, x.size(), [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
                Moments m;
                add_moments(m, x.ptr<T>() + r * D, D, T(0));
                const double scale = 1 / std::sqrt(m.squares / double(D) + eps);
                rstd.ptr<double>()[r] = scale;
                affine_row(y.ptr<T>() + r * D, x.ptr<T>() + r * D, rows_of<T>(weight), static_cast<const T*>(nullptr), D, T(0), T(0), T(scale));
            }
        });
    });
}

constexpr int64_t FLUSH = 16;     // rows added in T before they go into the double sums
constexpr int64_t STRETCH = 512;  // and elements of a row

template <class T> struct RowGradient {
    const T* weight;
    int64_t D;
    std::vector<T> xhat, dw, db;  // the row's xhat; sums over at most FLUSH rows
    double *sum_w, *sum_b;        // this chunk's sums, or null

    RowGradient(const T* w, int64_t d, double* sw, double* sb) : weight(w), D(d), xhat(d), dw(sw ? d : 0), db(sb ? d : 0), sum_w(sw), sum_b(sb) {}

    void row(T* __restrict dx, const T* __restrict g, const T* __restrict x, double mean, double rstd, bool centred) {
        const Split<T> s(mean);
        const T high = s.high, low = T(s.low), scale = T(rstd);
        T* __restrict h = xhat.data();
        double total = 0, dot = 0;
        for (int64_t begin = 0; begin < D; begin += STRETCH) {  // in T over short stretches, those in double
            const int64_t end = std::min(begin + STRETCH, D);
            T sum = 0, product = 0;
            if (weight) {
                const T* __restrict w = weight;
#pragma omp simd reduction(+ : sum, product)
                for (int64_t i = begin; i < end; ++i) {
                    h[i] = ((x[i] - high) - low) * scale;
                    const T gw = g[i] * w[i];
                    sum += gw;
                    product += gw * h[i];
                }
            } else {
#pragma omp simd reduction(+ : sum, product)
                for (int64_t i = begin; i < end; ++i) {
                    h[i] = ((x[i] - high) - low) * scale;
                    sum += g[i];
                    product += g[i] * h[i];
                }
            }
            total += double(sum);
            dot += double(product);
        }
        if (sum_w) {
            T* __restrict a = dw.data();
            for (int64_t i = 0; i < D; ++i) a[i] += g[i] * h[i];
        }
        if (sum_b) {
            T* __restrict a = db.data();
            for (int64_t i = 0; i < D; ++i) a[i] += g[i];
        }
        if (!dx) return;
        const T average = centred ? T(total / double(D)) : T(0), slope = T(dot / double(D));
        if (weight)
            for (int64_t i = 0; i < D; ++i) dx[i] = ((g[i] * weight[i] - average) - h[i] * slope) * scale;
        else
            for (int64_t i = 0; i < D; ++i) dx[i] = ((g[i] - average) - h[i] * slope) * scale;
    }

    void flush() {
        for (int64_t i = 0; sum_w && i < D; ++i) sum_w[i] += double(dw[i]), dw[i] = 0;
        for (int64_t i = 0; sum_b && i < D; ++i) sum_b[i] += double(db[i]), db[i] = 0;
    }
};

// dx (R, D), dweight and dbias (D): each may be None; partial (chunks, 2, D) float64 workspace; mean None: rms_norm.
void norm_backward(Array& dx, Array& dweight, Array& dbias, Array& partial, const Array& g, const Array& x, const Array& weight,
                   const Array& mean, const Array& rstd) {
    const int64_t R = x.shape[0], D = x.shape[1], chunks = partial.shape[0];
    dispatch_float(x.dtype, "norm_backward", [&]<class T>() {
        parallel_ranges(chunks, 2 * x.size(), [&](int64_t begin, int64_t end) {
            for (int64_t c = begin; c < end; ++c) {
                double* sums = partial.ptr<double>() + c * 2 * D;
                std::fill_n(sums, 2 * D, 0.0);
                RowGradient<T> gradient(rows_of<T>(weight), D, dweight ? sums : nullptr, dbias ? sums + D : nullptr);
                const int64_t first = R * c / chunks, last = R * (c + 1) / chunks;
                for (int64_t r = first; r < last; ++r) {
                    gradient.row(dx ? dx.ptr<T>() + r * D : nullptr, g.ptr<T>() + r * D, x.ptr<T>() + r * D,
                                 mean ? mean.ptr<double>()[r] : 0, rstd.ptr<double>()[r], bool(mean));
                    if ((r - first) % FLUSH == FLUSH - 1 || r == last - 1) gradient.flush();
                }
            }
        });
        for (int k = 0; k < 2; ++k) {
            const Array& out = k ? dbias : dweight;
            if (!out) continue;
            parallel_ranges(D, D * chunks, [&](int64_t begin, int64_t end) {
                std::vector<double> sums(end - begin);
                for (int64_t c = 0; c < chunks; ++c)
                    for (int64_t i = begin; i < end; ++i) sums[i - begin] += partial.ptr<double>()[(c * 2 + k) * D + i];
                for (int64_t i = begin; i < end; ++i) out.ptr<T>()[i] = T(sums[i - begin]);
            });
        }
    });
}

TG_KERNEL(layer_norm, "cpu/rows", "float32 float64", layer_norm)
TG_KERNEL(rms_norm, "cpu/rows", "float32 float64", rms_norm)
TG_KERNEL(norm_backward, "cpu/rows", "float32 float64", norm_backward)

}  // namespace
}  // namespace tg
