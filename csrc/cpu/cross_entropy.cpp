// Cross-entropy of class labels in one sweep over the scores, forward and backward: log-probabilities are never stored.
// Scores are a contiguous (N, C, inner) array, labels (N, inner). The forward pass leaves two numbers a position, the maximum
// and ln of the sum of exponentials; the backward pass makes the probabilities again from those.
//   loss = (1 - s) w_t (lse - x_t) + s / C sum_c w_c (lse - x_c)        s: label smoothing, w: class weights
#include "../core/registry.h"
#include "logsumexp.h"

namespace tg {
namespace {

using namespace simd;

struct Shape {
    int64_t outer, classes, inner, ignored;
    double smoothing;
    bool many() const { return outer * classes * inner >= SOFTMAX_PARALLEL_FROM; }
};

// sum_c w_c (max + log_sum - x_c), of a row `stride` apart
template <class T> double smooth_part(const T* x, const T* weight, int64_t classes, int64_t stride, T max, T log_sum) {
    double total = 0;
    for (int64_t c = 0; c < classes; ++c) total += (weight ? double(weight[c]) : 1.0) * (double(max - x[c * stride]) + double(log_sum));
    return total;
}

void forward(Array& loss_, Array& max_, Array& log_sum_, const Array& x_, const Array& target_, const Array& weight_, int64_t outer,
             int64_t classes, int64_t inner, int64_t ignored, double smoothing) {
    const Shape s{outer, classes, inner, ignored, smoothing};
    dispatch_float(x_.dtype, "cross_entropy_labels", [&]<class T>() {
        const T *x = x_.ptr<T>(), *weight = weight_.ptr<T>();
        T *loss = loss_.ptr<T>(), *max = max_.ptr<T>(), *log_sum = log_sum_.ptr<T>();
        const int64_t* target = target_.ptr<int64_t>();
        auto finish = [=](int64_t at, const T* row) {  // the loss of one position whose statistics are known
            const int64_t t = target[at];
            if (t == s.ignored) {
                loss[at] = 0;
                return;
            }
            const T nll = (max[at] - row[t * s.inner]) + log_sum[at];
            double value = (1 - s.smoothing) * (weight ? double(weight[t]) : 1.0) * double(nll);
            if (s.smoothing != 0)
                value += s.smoothing / double(s.classes) * smooth_part(row, weight, s.classes, s.inner, max[at], log_sum[at]);
            loss[at] = T(value);
        };
        if (s.inner == 1) {
#pragma omp parallel for schedule(static) if (s.many())
            for (int64_t o = 0; o < s.outer; ++o) {
                const auto stats = row_stats<T>(x + o * s.classes, s.classes, nullptr);
                max[o] = stats.max;
                log_sum[o] = std::log(stats.sum);
                finish(o, x + o * s.classes);
            }
            return;
        }
        constexpr int64_t w = W<T>, width = BUNDLE * w;
        const int64_t bundles = (s.inner + width - 1) / width;
#pragma omp parallel for schedule(static) if (s.many())
        for (int64_t b = 0; b < s.outer * bundles; ++b) {
            const int64_t o = b / bundles, j = b % bundles * width, k = std::min(width, s.inner - j);
            const T* block = x + o * s.classes * s.inner + j;
            Columns<T> c;
            c.read(block, s.classes, s.inner, k, nullptr);
            for (int v = 0; v * w < k; ++v) {
                store(max + o * s.inner + j + v * w, c.max[v], k - v * w);
                store(log_sum + o * s.inner + j + v * w, log_positive<T>(c.sum[v]), k - v * w);
            }
            for (int64_t i = 0; i < k; ++i) finish(o * s.inner + j + i, block + i);
        }
    });
}

// dx_c = g ((1 - s) w_t (p_c - [c = t]) + s / C (sum(w) p_c - w_c)); g holds one number a position
void backward(Array& dx_, const Array& g_, const Array& x_, const Array& target_, const Array& weight_, const Array& max_,
              const Array& log_sum_, int64_t outer, int64_t classes, int64_t inner, int64_t ignored, double smoothing) {
    const Shape s{outer, classes, inner, ignored, smoothing};
    dispatch_float(x_.dtype, "cross_entropy_labels_backward", [&]<class T>() {
        const T *x = x_.ptr<T>(), *weight = weight_.ptr<T>(), *g = g_.ptr<T>(), *max = max_.ptr<T>(), *log_sum = log_sum_.ptr<T>();
        T* dx = dx_.ptr<T>();
        const int64_t* target = target_.ptr<int64_t>();
        constexpr int64_t w = W<T>;
        double weight_sum = double(s.classes);
        if (weight) {
            weight_sum = 0;
            for (int64_t c = 0; c < s.classes; ++c) weight_sum += double(weight[c]);
        }
        const T uniform = T(s.smoothing / double(s.classes)), rest = T(1 - s.smoothing), spread = T(s.smoothing / double(s.classes) * weight_sum);
        auto of_label = [=](int64_t at) { return weight ? weight[target[at]] : T(1); };
        if (s.inner == 1) {
#pragma omp parallel for schedule(static) if (s.many())
            for (int64_t o = 0; o < s.outer; ++o) {
                T* out = dx + o * s.classes;
                const T* row = x + o * s.classes;
                if (target[o] == s.ignored) {
                    std::memset(out, 0, size_t(s.classes) * sizeof(T));
                    continue;
                }
                const T slope = g[o] * (rest * of_label(o) + spread);
                for (int64_t c = 0; c < s.classes; c += w) {
                    V<T> v = exp<T>((load(row + c, s.classes - c, T(0)) - max[o]) - log_sum[o]) * slope;
                    if (s.smoothing != 0) v -= g[o] * uniform * (weight ? load(weight + c, s.classes - c, T(0)) : all(T(1)));
                    store(out + c, v, s.classes - c);
                }
                out[target[o]] -= g[o] * rest * of_label(o);
            }
            return;
        }
        const int64_t bundles = (s.inner + w - 1) / w;
#pragma omp parallel for schedule(static) if (s.many())
        for (int64_t b = 0; b < s.outer * bundles; ++b) {
            const int64_t o = b / bundles, j = b % bundles * w, k = std::min(w, s.inner - j), first = o * s.inner + j;
            V<T> slope{}, offset{};
            for (int64_t i = 0; i < k; ++i)
                if (target[first + i] != s.ignored) {
                    slope[i] = g[first + i] * (rest * of_label(first + i) + spread);
                    offset[i] = g[first + i] * uniform;
                }
            const V<T> top = load(max + first, k, T(0)), log = load(log_sum + first, k, T(0));
            const auto used = slope != T(0);  // NaN scores of an ignored position stay out
            const int64_t at = o * s.classes * s.inner + j;
            for (int64_t c = 0; c < s.classes; ++c) {
                const V<T> v = exp<T>((load(x + at + c * s.inner, k, T(0)) - top) - log) * slope;
                store(dx + at + c * s.inner, (used ? v : V<T>{}) - offset * (weight ? weight[c] : T(1)), k);
            }
            for (int64_t i = 0; i < k; ++i)
                if (const int64_t t = target[first + i]; t != s.ignored) dx[at + t * s.inner + i] -= g[first + i] * rest * of_label(first + i);
        }
    });
}

TG_KERNEL(cross_entropy_labels, "cpu/fused", "float32 float64", forward)
TG_KERNEL(cross_entropy_labels_backward, "cpu/fused", "float32 float64", backward)

}  // namespace
}  // namespace tg
