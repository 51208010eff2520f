// Cross-entropy of class labels in one sweep over the scores, forward and backward: log-probabilities are never stored.
// Scores are a contiguous (N, C, inner) array, labels (N, inner). The forward pass leaves two numbers a position, the maximum
// and ln of the sum of exponentials; the backward pass makes the probabilities again from those. `step` does both to rows of scores
// that nobody needs afterwards: it leaves the gradient in their place.
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

// The loss of one position and its gradient, from the maximum and ln of the sum of exponentials of its scores.
template <class T> struct Loss {
    Shape s;
    const T* weight;
    T uniform, rest, spread;  // s / C, 1 - s, s / C sum(w)

    Loss(const Shape& shape, const T* weight_) : s(shape), weight(weight_), uniform(T(s.smoothing / double(s.classes))), rest(T(1 - s.smoothing)) {
        double sum = double(s.classes);
        if (weight) {
            sum = 0;
            for (int64_t c = 0; c < s.classes; ++c) sum += double(weight[c]);
        }
        spread = T(s.smoothing / double(s.classes) * sum);
    }

    T of_label(int64_t t) const { return weight ? weight[t] : T(1); }

    T value(const T* row, int64_t t, T max, T log_sum) const {
        if (t == s.ignored) return 0;
        double found = (1 - s.smoothing) * double(of_label(t)) * double((max - row[t * s.inner]) + log_sum);
        if (s.smoothing == 0) return T(found);
        double smooth = 0;  // sum_c w_c (max + log_sum - x_c)
        for (int64_t c = 0; c < s.classes; ++c) smooth += double(of_label(c)) * (double(max - row[c * s.inner]) + double(log_sum));
        return T(found + s.smoothing / double(s.classes) * smooth);
    }

    // dx_c = g ((1 - s) w_t (p_c - [c = t]) + s / C (sum(w) p_c - w_c)) for a row of neighbours; `out` may be the row itself
    void gradient(T* out, const T* row, int64_t t, T g, T max, T log_sum) const {
        constexpr int64_t w = W<T>;
        if (t == s.ignored) {
            std::memset(out, 0, size_t(s.classes) * sizeof(T));
            return;
        }
        const T slope = g * (rest * of_label(t) + spread);
        for (int64_t c = 0; c < s.classes; c += w) {
            V<T> v = exp<T>((load(row + c, s.classes - c, T(0)) - max) - log_sum) * slope;
            if (s.smoothing != 0) v -= g * uniform * (weight ? load(weight + c, s.classes - c, T(0)) : all(T(1)));
            store(out + c, v, s.classes - c);
        }
        out[t] -= g * rest * of_label(t);
    }
};

void forward(Array& loss_, Array& max_, Array& log_sum_, const Array& x_, const Array& target_, const Array& weight_, int64_t outer,
             int64_t classes, int64_t inner, int64_t ignored, double smoothing) {
    const Shape s{outer, classes, inner, ignored, smoothing};
    dispatch_float(x_.dtype, "cross_entropy_labels", [&]<class T>() {
        const T *x = x_.ptr<T>(), *weight = weight_.ptr<T>();
        T *loss = loss_.ptr<T>(), *max = max_.ptr<T>(), *log_sum = log_sum_.ptr<T>();
        const int64_t* target = target_.ptr<int64_t>();
        const Loss<T> of(s, weight);
        auto finish = [=](int64_t at, const T* row) { loss[at] = of.value(row, target[at], max[at], log_sum[at]); };
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

// g holds one number a position
void backward(Array& dx_, const Array& g_, const Array& x_, const Array& target_, const Array& weight_, const Array& max_,
              const Array& log_sum_, int64_t outer, int64_t classes, int64_t inner, int64_t ignored, double smoothing) {
    const Shape s{outer, classes, inner, ignored, smoothing};
    dispatch_float(x_.dtype, "cross_entropy_labels_backward", [&]<class T>() {
        const T *x = x_.ptr<T>(), *weight = weight_.ptr<T>(), *g = g_.ptr<T>(), *max = max_.ptr<T>(), *log_sum = log_sum_.ptr<T>();
        T* dx = dx_.ptr<T>();
        const int64_t* target = target_.ptr<int64_t>();
        constexpr int64_t w = W<T>;
        const Loss<T> of(s, weight);
        if (s.inner == 1) {
#pragma omp parallel for schedule(static) if (s.many())
            for (int64_t o = 0; o < s.outer; ++o)
                of.gradient(dx + o * s.classes, x + o * s.classes, target[o], g[o], max[o], log_sum[o]);
            return;
        }
        const int64_t bundles = (s.inner + w - 1) / w;
#pragma omp parallel for schedule(static) if (s.many())
        for (int64_t b = 0; b < s.outer * bundles; ++b) {
            const int64_t o = b / bundles, j = b % bundles * w, k = std::min(w, s.inner - j), first = o * s.inner + j;
            V<T> slope{}, offset{};
            for (int64_t i = 0; i < k; ++i)
                if (target[first + i] != s.ignored) {
                    slope[i] = g[first + i] * (of.rest * of.of_label(target[first + i]) + of.spread);
                    offset[i] = g[first + i] * of.uniform;
                }
            const V<T> top = load(max + first, k, T(0)), log = load(log_sum + first, k, T(0));
            const auto used = slope != T(0);  // NaN scores of an ignored position stay out
            const int64_t at = o * s.classes * s.inner + j;
            for (int64_t c = 0; c < s.classes; ++c) {
                const V<T> v = exp<T>((load(x + at + c * s.inner, k, T(0)) - top) - log) * slope;
                store(dx + at + c * s.inner, (used ? v : V<T>{}) - offset * (weight ? weight[c] : T(1)), k);
            }
            for (int64_t i = 0; i < k; ++i)
                if (const int64_t t = target[first + i]; t != s.ignored) dx[at + t * s.inner + i] -= g[first + i] * of.rest * of.of_label(t);
        }
    });
}

// Losses of rows of scores; then, if asked, the scores become their gradients, g (1 where there is none) times those of the losses.
void step(Array& scores_, Array& loss_, const Array& g_, const Array& target_, const Array& weight_, int64_t ignored, double smoothing,
          int64_t gradient) {
    const Shape s{scores_.shape[0], scores_.shape[1], 1, ignored, smoothing};
    dispatch_float(scores_.dtype, "linear_cross_entropy", [&]<class T>() {
        T *scores = scores_.ptr<T>(), *loss = loss_.ptr<T>();
        const T* g = g_.ptr<T>();
        const int64_t* target = target_.ptr<int64_t>();
        const Loss<T> of(s, weight_.ptr<T>());
#pragma omp parallel for schedule(static) if (s.many())
        for (int64_t o = 0; o < s.outer; ++o) {
            T* row = scores + o * s.classes;
            const auto stats = row_stats<T>(row, s.classes, nullptr);
            const T log_sum = std::log(stats.sum);
            loss[o] = of.value(row, target[o], stats.max, log_sum);
            if (gradient) of.gradient(row, row, target[o], g ? g[o] : T(1), stats.max, log_sum);
        }
    });
}

TG_KERNEL(cross_entropy_labels, "cpu/fused", "float32 float64", forward)
TG_KERNEL(cross_entropy_labels_backward, "cpu/fused", "float32 float64", backward)
TG_KERNEL(linear_cross_entropy, "cpu/fused", "float32 float64", step)

}  // namespace
}  // namespace tg
