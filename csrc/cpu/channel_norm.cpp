// batch_norm and group_norm of planes: statistics over many elements, weight and bias per channel. x is (N, C, S).
//
// batch_norm works channel by channel: a channel of a usual batch stays in the second-level cache between its passes, so that x
// comes from memory once. Where S is small, channels are taken in blocks and the sums run down the rows of (N, C S), in vectors.
// With M = N S, mg = mean(g) and k = mean(g (x - mean)) rstd^2,
//   dx = rstd weight (g - mg - (x - mean) k),  dweight = M k / rstd,  dbias = M mg;  at inference dx = rstd weight g.
#include <vector>

#include "../core/parallel.h"
#include "../core/registry.h"
#include "channel_norm.h"

namespace tg {
namespace {

constexpr int64_t SHORT = 16;   // S below this: by blocks of channels
constexpr int64_t BLOCK = 512;  // columns of such a block

template <class T> void scale_shift(T* __restrict y, const T* __restrict x, int64_t n, T high, T a, T c) {
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - high) * a + c;
}

template <class T> void gradient_row(T* __restrict dx, const T* __restrict g, const T* __restrict x, int64_t n, T high, T mg, T a, T k, T c) {
    for (int64_t i = 0; i < n; ++i) dx[i] = (g[i] - mg) * a + ((x[i] - high) * k + c);
}

// The channels a thread works on at a time and what it needs per column of them.
template <class F> void channel_blocks(int64_t C, int64_t S, int64_t begin, int64_t end, F&& f) {
    const int64_t step = S < SHORT ? std::max<int64_t>(1, BLOCK / std::max<int64_t>(S, 1)) : 1;
    for (int64_t c = begin; c < end; c += step) f(c, std::min({step, end - c, C - c}));
}

// Moments of channels [c, c + n): of x around its first element; or of g and of g (x - high[channel]).
template <class T> void channel_moments(Moments* out, const T* x, const T* g, const T* offsets, int64_t c, int64_t n, int64_t N, int64_t C, int64_t S) {
    for (int64_t i = 0; i < n; ++i) out[i] = {};
    if (n == 1) {
        for (int64_t b = 0; b < N; ++b) {
            const int64_t at = (b * C + c) * S;
            if (g) add_products(out[0], g + at, x + at, S, offsets[0]);
            else add_moments(out[0], x + at, S, offsets[0]);
        }
        return;
    }
    double sum[BLOCK] = {}, squares[BLOCK] = {}, offset[BLOCK];
    const int64_t columns = n * S;
    for (int64_t j = 0; j < columns; ++j) offset[j] = double(offsets[j / S]);
    for (int64_t b = 0; b < N; ++b) {
        const T *__restrict row = x + (b * C + c) * S, *__restrict other = g ? g + (b * C + c) * S : row;
        if (g)
            for (int64_t j = 0; j < columns; ++j) {
                sum[j] += double(other[j]);
                squares[j] += double(other[j]) * (double(row[j]) - offset[j]);
            }
        else
            for (int64_t j = 0; j < columns; ++j) {
                const double d = double(row[j]) - offset[j];
                sum[j] += d;
                squares[j] += d * d;
            }
    }
    for (int64_t j = 0; j < columns; ++j) {
        out[j / S].sum += sum[j];
        out[j / S].squares += squares[j];
    }
}

// One value per channel, repeated for each of its columns.
template <class T> struct PerColumn {
    T values[BLOCK];
    PerColumn(const T* of_channel, int64_t columns, int64_t S) {
        for (int64_t j = 0; j < columns; ++j) values[j] = of_channel[j / S];
    }
    T operator[](int64_t j) const { return values[j]; }
};

// y = (x - high) a + shift for channels [c, c + n)
template <class T> void apply_block(T* y, const T* x, int64_t c, int64_t n, int64_t N, int64_t C, int64_t S, const T* high, const T* a, const T* shift) {
    if (n == 1) {
        for (int64_t b = 0; b < N; ++b) scale_shift(y + (b * C + c) * S, x + (b * C + c) * S, S, high[0], a[0], shift[0]);
        return;
    }
    const PerColumn<T> h(high, n * S, S), s(a, n * S, S), t(shift, n * S, S);
    for (int64_t b = 0; b < N; ++b) {
        const T* __restrict in = x + (b * C + c) * S;
        T* __restrict out = y + (b * C + c) * S;
        for (int64_t j = 0; j < n * S; ++j) out[j] = (in[j] - h[j]) * s[j] + t[j];
    }
}

// dx = (g - mg) a + ((x - high) k + shift) for channels [c, c + n)
template <class T> void gradient_block(T* dx, const T* g, const T* x, int64_t c, int64_t n, int64_t N, int64_t C, int64_t S, const T* high,
                                       const T* mg, const T* a, const T* k, const T* shift) {
    if (n == 1) {
        for (int64_t b = 0; b < N; ++b) {
            const int64_t at = (b * C + c) * S;
            gradient_row(dx + at, g + at, x + at, S, high[0], mg[0], a[0], k[0], shift[0]);
        }
        return;
    }
    const PerColumn<T> h(high, n * S, S), m(mg, n * S, S), s(a, n * S, S), slope(k, n * S, S), t(shift, n * S, S);
    for (int64_t b = 0; b < N; ++b) {
        const T *__restrict in = x + (b * C + c) * S, *__restrict from = g + (b * C + c) * S;
        T* __restrict out = dx + (b * C + c) * S;
        for (int64_t j = 0; j < n * S; ++j) out[j] = (from[j] - m[j]) * s[j] + ((in[j] - h[j]) * slope[j] + t[j]);
    }
}

// Inference: nothing to sum, so long rows are walked in the order of memory.
template <class T> void normalize_rows(Array& y, const Array& mean, const Array& rstd, const Array& x, const Array& weight, const Array& bias) {
    const int64_t C = x.shape[1], S = x.shape[2];
    parallel_ranges(x.shape[0] * C, x.size(), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
            const int64_t c = r % C;
            const Split<T> split(mean.ptr<double>()[c]);
            const double factor = rstd.ptr<double>()[c] * value_or<T>(weight, c, 1);
            scale_shift(y.ptr<T>() + r * S, x.ptr<T>() + r * S, S, split.high, T(factor), T(value_or<T>(bias, c, 0) - split.low * factor));
        }
    });
}

// y, x (N, C, S); mean and rstd (C) float64, written when `training`, else read; weight, bias, running_* (C) or None.
void batch_norm(Array& y, Array& mean, Array& rstd, Array& running_mean, Array& running_var, const Array& x, const Array& weight,
                const Array& bias, int64_t training, double momentum, double eps) {
    const int64_t N = x.shape[0], C = x.shape[1], S = x.shape[2];
    const double M = double(N * S);
    dispatch_float(x.dtype, "batch_norm", [&]<class T>() {
        if (!training && S >= SHORT) return normalize_rows<T>(y, mean, rstd, x, weight, bias);
        parallel_ranges(C, x.size(), [&](int64_t begin, int64_t end) {
            channel_blocks(C, S, begin, end, [&](int64_t c, int64_t n) {
                Moments moments[BLOCK];
                T high[BLOCK], a[BLOCK], shift[BLOCK];
                if (training) {
                    for (int64_t i = 0; i < n; ++i) high[i] = x.ptr<T>()[(c + i) * S];
                    channel_moments<T>(moments, x.ptr<T>(), nullptr, high, c, n, N, C, S);
                }
                for (int64_t i = 0; i < n; ++i) {
                    double &mu = mean.ptr<double>()[c + i], &scale = rstd.ptr<double>()[c + i];
                    if (training) {
                        const double variance = moments[i].variance(M);
                        mu = moments[i].mean(double(high[i]), M);
                        scale = 1 / std::sqrt(variance + eps);
                        auto update = [&](Array& r, double value) {
                            if (r) r.ptr<T>()[c + i] = T((1 - momentum) * double(r.ptr<T>()[c + i]) + momentum * value);
                        };
                        update(running_mean, mu);
                        update(running_var, variance * (M / (M - 1)));
                    }
                    const Split<T> split(mu);
                    const double factor = scale * value_or<T>(weight, c + i, 1);
                    high[i] = split.high;
                    a[i] = T(factor);
                    shift[i] = T(value_or<T>(bias, c + i, 0) - split.low * factor);
                }
                apply_block(y.ptr<T>(), x.ptr<T>(), c, n, N, C, S, high, a, shift);
            });
        });
    });
}

// dx (N, C, S), dweight, dbias (C), each may be None.
void batch_norm_backward(Array& dx, Array& dweight, Array& dbias, const Array& g, const Array& x, const Array& weight, const Array& mean,
                         const Array& rstd, int64_t training) {
    const int64_t N = x.shape[0], C = x.shape[1], S = x.shape[2];
    const double M = double(N * S);
    dispatch_float(x.dtype, "batch_norm_backward", [&]<class T>() {
        parallel_ranges(C, 2 * x.size(), [&](int64_t begin, int64_t end) {
            channel_blocks(C, S, begin, end, [&](int64_t c, int64_t n) {
                Moments moments[BLOCK];
                T high[BLOCK], mg[BLOCK], a[BLOCK], k[BLOCK], shift[BLOCK];
                for (int64_t i = 0; i < n; ++i) high[i] = T(mean.ptr<double>()[c + i]);
                if (training || dweight || dbias) channel_moments<T>(moments, x.ptr<T>(), g.ptr<T>(), high, c, n, N, C, S);
                for (int64_t i = 0; i < n; ++i) {
                    const double scale = rstd.ptr<double>()[c + i], factor = scale * value_or<T>(weight, c + i, 1);
                    const double low = mean.ptr<double>()[c + i] - double(high[i]), dot = moments[i].squares - low * moments[i].sum;
                    if (dweight) dweight.ptr<T>()[c + i] = T(dot * scale);
                    if (dbias) dbias.ptr<T>()[c + i] = T(moments[i].sum);
                    const double average = training ? moments[i].sum / M : 0, slope = training ? -factor * scale * scale * dot / M : 0;
                    mg[i] = T(average);
                    a[i] = T(factor);
                    k[i] = T(slope);
                    shift[i] = T(-low * slope - (average - double(mg[i])) * factor);
                }
                if (dx) gradient_block(dx.ptr<T>(), g.ptr<T>(), x.ptr<T>(), c, n, N, C, S, high, mg, a, k, shift);
            });
        });
    });
}

// y, x (N, C, S); mean and rstd (N, G) float64.
void group_norm(Array& y, Array& mean, Array& rstd, const Array& x, const Array& weight, const Array& bias, double eps) {
    const int64_t N = x.shape[0], C = x.shape[1], S = x.shape[2], G = mean.shape[1], per = C / G, D = per * S;
    dispatch_float(x.dtype, "group_norm", [&]<class T>() {
        parallel_ranges(N * G, x.size(), [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
                const T* in = x.ptr<T>() + r * D;
                T* out = y.ptr<T>() + r * D;
                Moments m;
                add_moments(m, in, D, in[0]);
                const double mu = m.mean(double(in[0]), double(D)), scale = 1 / std::sqrt(m.variance(double(D)) + eps);
                mean.ptr<double>()[r] = mu;
                rstd.ptr<double>()[r] = scale;
                const Split<T> split(mu);
                for (int64_t i = 0; i < per; ++i) {
                    const int64_t c = r % G * per + i;
                    const double factor = scale * value_or<T>(weight, c, 1);
                    scale_shift(out + i * S, in + i * S, S, split.high, T(factor), T(value_or<T>(bias, c, 0) - split.low * factor));
                }
            }
        });
    });
}

// dx (N, C, S), dweight, dbias (C), each may be None; sums (2, N, C) float64 workspace: of g xhat and of g over S.
void group_norm_backward(Array& dx, Array& dweight, Array& dbias, Array& sums, const Array& g, const Array& x, const Array& weight,
                         const Array& mean, const Array& rstd) {
    const int64_t N = x.shape[0], C = x.shape[1], S = x.shape[2], G = mean.shape[1], per = C / G, D = per * S;
    dispatch_float(x.dtype, "group_norm_backward", [&]<class T>() {
        parallel_ranges(N * G, 2 * x.size(), [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
                const double scale = rstd.ptr<double>()[r];
                const Split<T> split(mean.ptr<double>()[r]);
                double total = 0, dot = 0;
                for (int64_t i = 0; i < per; ++i) {
                    Moments m;
                    add_products(m, g.ptr<T>() + r * D + i * S, x.ptr<T>() + r * D + i * S, S, split.high);
                    m.squares = (m.squares - split.low * m.sum) * scale;
                    sums.ptr<double>()[r * per + i] = m.squares;
                    sums.ptr<double>()[N * C + r * per + i] = m.sum;
                    const double w = value_or<T>(weight, r % G * per + i, 1);
                    total += w * m.sum;
                    dot += w * m.squares;
                }
                if (!dx) continue;
                const double average = total / double(D) * scale, slope = -dot / double(D) * scale * scale;
                for (int64_t i = 0; i < per; ++i) {
                    const int64_t at = r * D + i * S;
                    const double factor = scale * value_or<T>(weight, r % G * per + i, 1);
                    const T mg = factor ? T(average / factor) : T(0);  // so that g - mg keeps its digits where g hardly varies
                    gradient_row(dx.ptr<T>() + at, g.ptr<T>() + at, x.ptr<T>() + at, S, split.high, mg, T(factor), T(slope),
                                 T(double(mg) * factor - average - split.low * slope));
                }
            }
        });
        add_samples<T>(dweight, dbias, sums);
    });
}

TG_KERNEL(batch_norm, "cpu/channels", "float32 float64", batch_norm)
TG_KERNEL(batch_norm_backward, "cpu/channels", "float32 float64", batch_norm_backward)
TG_KERNEL(group_norm, "cpu/groups", "float32 float64", group_norm)
TG_KERNEL(group_norm_backward, "cpu/groups", "float32 float64", group_norm_backward)

}  // namespace
}  // namespace tg
