// group_norm of rows: x is (N S, C), the memory of images whose channels come last.
//
// Some neighbouring groups of a sample, a run of at least RUN channels, are walked down its rows together, so that each row gives whole
// cache lines; the sums of a channel run in double around its group's first element, and make up those of the group.
#include <algorithm>

#include "../core/parallel.h"
#include "../core/registry.h"
#include "channel_norm.h"

namespace tg {
namespace {

constexpr int64_t RUN = 64, BLOCK = 512;  // channels of a run, of which there are more where a group has more; channels at a time

struct Runs {
    int64_t N, C, S, G, per, groups, count;  // groups of a run; runs of a sample

    Runs(const Array& x, const Array& mean)
        : N(mean.shape[0]), C(x.shape[1]), S(x.shape[0] / N), G(mean.shape[1]), per(C / G), groups(std::max<int64_t>(1, RUN / per)),
          count((G + groups - 1) / groups) {}

    // f(sample, first group, end of groups), in parallel
    template <class F> void each(int64_t work, F&& f) const {
        parallel_ranges(N * count, work, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) f(r / count, r % count * groups, std::min(G, (r % count + 1) * groups));
        });
    }

    // f(first channel, how many) over the channels of groups [first, end), at most BLOCK at a time
    template <class F> void blocks(int64_t first, int64_t end, F&& f) const {
        for (int64_t c = first * per; c < end * per; c += BLOCK) f(c, std::min(BLOCK, end * per - c));
    }
};

// Of n columns: the sums of x - high and of its square; or, where g is given, of g and of g (x - high).
template <class T> void column_moments(Moments* out, const T* x, const T* g, const T* high, int64_t n, int64_t rows, int64_t C) {
    double sum[BLOCK] = {}, squares[BLOCK] = {};
    for (int64_t r = 0; r < rows; ++r) {
        const T *__restrict row = x + r * C, *__restrict other = g ? g + r * C : row;
        if (g)
            for (int64_t j = 0; j < n; ++j) {
                sum[j] += double(other[j]);
                squares[j] += double(other[j]) * (double(row[j]) - double(high[j]));
            }
        else
            for (int64_t j = 0; j < n; ++j) {
                const double d = double(row[j]) - double(high[j]);
                sum[j] += d;
                squares[j] += d * d;
            }
    }
    for (int64_t j = 0; j < n; ++j) out[j].sum = sum[j], out[j].squares = squares[j];
}

// y, x (N S, C); mean and rstd (N, G) float64.
void group_norm_rows(Array& y, Array& mean, Array& rstd, const Array& x, const Array& weight, const Array& bias, double eps) {
    const Runs s(x, mean);
    const double D = double(s.per * s.S);
    dispatch_float(x.dtype, "group_norm", [&]<class T>() {
        s.each(x.size(), [&](int64_t sample, int64_t first, int64_t end) {
            const T* const in = x.ptr<T>() + sample * s.S * s.C;
            T* const out = y.ptr<T>() + sample * s.S * s.C;
            Moments of_group[RUN], of_column[BLOCK];
            T high[BLOCK], a[BLOCK], shift[BLOCK];
            s.blocks(first, end, [&](int64_t c, int64_t n) {
                for (int64_t j = 0; j < n; ++j) high[j] = in[(c + j) / s.per * s.per];
                column_moments<T>(of_column, in + c, nullptr, high, n, s.S, s.C);
                for (int64_t j = 0; j < n; ++j) {
                    Moments& m = of_group[(c + j) / s.per - first];
                    m.sum += of_column[j].sum;
                    m.squares += of_column[j].squares;
                }
            });
            for (int64_t g = first; g < end; ++g) {
                mean.ptr<double>()[sample * s.G + g] = of_group[g - first].mean(double(in[g * s.per]), D);
                rstd.ptr<double>()[sample * s.G + g] = 1 / std::sqrt(of_group[g - first].variance(D) + eps);
            }
            s.blocks(first, end, [&](int64_t c, int64_t n) {
                for (int64_t j = 0; j < n; ++j) {
                    const int64_t group = sample * s.G + (c + j) / s.per;
                    const Split<T> split(mean.ptr<double>()[group]);
                    const double factor = rstd.ptr<double>()[group] * value_or<T>(weight, c + j, 1);
                    high[j] = split.high;
                    a[j] = T(factor);
                    shift[j] = T(value_or<T>(bias, c + j, 0) - split.low * factor);
                }
                for (int64_t r = 0; r < s.S; ++r) {
                    const T* __restrict from = in + r * s.C + c;
                    T* __restrict to = out + r * s.C + c;
                    for (int64_t j = 0; j < n; ++j) to[j] = (from[j] - high[j]) * a[j] + shift[j];
                }
            });
        });
    });
}

// dx (N S, C), dweight, dbias (C), each may be None; sums (2, N, C) float64 workspace: of g xhat and of g over S.
void group_norm_rows_backward(Array& dx, Array& dweight, Array& dbias, Array& sums, const Array& g, const Array& x, const Array& weight,
                              const Array& mean, const Array& rstd) {
    const Runs s(x, mean);
    const double D = double(s.per * s.S);
    dispatch_float(x.dtype, "group_norm_backward", [&]<class T>() {
        s.each(2 * x.size(), [&](int64_t sample, int64_t first, int64_t end) {
            const int64_t start = sample * s.S * s.C;
            const auto mean_of = [&](int64_t c) { return Split<T>(mean.ptr<double>()[sample * s.G + c / s.per]); };
            Moments of_group[RUN], of_column[BLOCK];  // of a group: of gw and of gw xhat
            T high[BLOCK], mg[BLOCK], a[BLOCK], k[BLOCK], shift[BLOCK];
            s.blocks(first, end, [&](int64_t c, int64_t n) {
                for (int64_t j = 0; j < n; ++j) high[j] = mean_of(c + j).high;
                column_moments<T>(of_column, x.ptr<T>() + start + c, g.ptr<T>() + start + c, high, n, s.S, s.C);
                for (int64_t j = 0; j < n; ++j) {
                    const double total = of_column[j].sum, w = value_or<T>(weight, c + j, 1);
                    const double dot = (of_column[j].squares - mean_of(c + j).low * total) * rstd.ptr<double>()[sample * s.G + (c + j) / s.per];
                    sums.ptr<double>()[sample * s.C + c + j] = dot;
                    sums.ptr<double>()[(s.N + sample) * s.C + c + j] = total;
                    Moments& m = of_group[(c + j) / s.per - first];
                    m.sum += w * total;
                    m.squares += w * dot;
                }
            });
            if (!dx) return;
            s.blocks(first, end, [&](int64_t c, int64_t n) {
                for (int64_t j = 0; j < n; ++j) {
                    const Moments& m = of_group[(c + j) / s.per - first];
                    const double scale = rstd.ptr<double>()[sample * s.G + (c + j) / s.per], factor = scale * value_or<T>(weight, c + j, 1);
                    const double average = m.sum / D * scale, slope = -m.squares / D * scale * scale;
                    high[j] = mean_of(c + j).high;
                    mg[j] = factor ? T(average / factor) : T(0);  // so that g - mg keeps its digits where g hardly varies
                    a[j] = T(factor);
                    k[j] = T(slope);
                    shift[j] = T(double(mg[j]) * factor - average - mean_of(c + j).low * slope);
                }
                for (int64_t r = 0; r < s.S; ++r) {
                    const int64_t at = start + r * s.C + c;
                    const T *__restrict from = g.ptr<T>() + at, *__restrict in = x.ptr<T>() + at;
                    T* __restrict out = dx.ptr<T>() + at;
                    for (int64_t j = 0; j < n; ++j) out[j] = (from[j] - mg[j]) * a[j] + ((in[j] - high[j]) * k[j] + shift[j]);
                }
            });
        });
        add_samples<T>(dweight, dbias, sums);
    });
}

TG_KERNEL(group_norm, "cpu/channels_last", "float32 float64", group_norm_rows)
TG_KERNEL(group_norm_backward, "cpu/channels_last", "float32 float64", group_norm_rows_backward)

}  // namespace
}  // namespace tg
