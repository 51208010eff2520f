// What the rungs of the cross-entropy ladder share: scores (outer, classes, inner) against labels (outer, inner), one loss a position.
//
//   loss = (1 - s) w_t (lse - x_t) + s / C sum_c w_c (lse - x_c)                 s: label smoothing, w: class weights
//   dx_c = g ((1 - s) w_t (p_c - [c = t]) + s / C (sum(w) p_c - w_c)),           p = softmax(x)
// The forward pass leaves the maximum and ln of the sum of exponentials of each position: the backward pass makes p from them.
#pragma once
#include "../softmax/online.h"

namespace tg::cross_entropy {

using device::Wide;

template <class T> struct Labels {
    using A = Wide<T>;
    const int64_t* target;
    device::Parameter<T> weight;
    int64_t ignored;
    A rest, uniform;  // 1 - s and s / C

    __device__ A weight_of(int64_t c) const { return weight ? weight[c] : A(1); }
};

template <class T> struct Forward {
    using A = Wide<T>;
    softmax::Rows<T> scores;
    Labels<T> labels;
    A *loss, *top, *log_sum;

    // Writes a position's loss and statistics, where they are wanted; `weighted` is sum_c w_c x_c and `weights` sum_c w_c, both 0
    // without smoothing.
    __device__ void finish(int64_t position, A top_, A log_sum_, A weighted, A weights) const {
        if (top) {
            top[position] = top_;
            log_sum[position] = log_sum_;
        }
        const int64_t t = labels.target[position];
        if (t == labels.ignored) {
            loss[position] = 0;
            return;
        }
        const A own = (top_ - static_cast<A>(scores.a[scores.first(position) + t * scores.inner])) + log_sum_;
        A value = labels.rest * labels.weight_of(t) * own;
        if (labels.uniform != 0) value += labels.uniform * ((top_ + log_sum_) * weights - weighted);
        loss[position] = value;
    }
};

// dx of the classes of one position whose label t counts; `weights` is sum_c w_c, 0 without smoothing.
template <class T> struct Gradient {
    using A = Wide<T>;
    const Labels<T>& labels;
    int64_t t;
    A g, top, log_sum, slope;  // slope: the factor of p

    __device__ Gradient(const Labels<T>& l, int64_t t_, A g_, A top_, A log_sum_, A weights)
        : labels(l), t(t_), g(g_), top(top_), log_sum(log_sum_), slope(t == l.ignored ? A(0) : g * (l.rest * l.weight_of(t) + l.uniform * weights)) {}

    __device__ A operator()(A x, int c) const {
        A dx = std::exp((x - top) - log_sum) * slope;
        if (labels.uniform != 0) dx -= g * labels.uniform * labels.weight_of(c);
        return c == t ? dx - g * labels.rest * labels.weight_of(t) : dx;
    }
};

template <class T> struct Backward {
    using A = Wide<T>;
    softmax::Rows<T> scores;
    Labels<T> labels;
    const A *g, *top, *log_sum;

    __device__ Gradient<T> gradient(int64_t position, A weights) const {
        return {labels, labels.target[position], g[position], top[position], log_sum[position], weights};
    }
};

// Losses of scores (positions, classes), which then become their gradients: g, or 1, times those of the losses.
template <class T> struct Step {
    using A = Wide<T>;
    Forward<T> forward;
    const A* g;
    bool gradient;

    __device__ Gradient<T> gradient_of(int64_t position, A top, A log_sum, A weights) const {
        return {forward.labels, forward.labels.target[position], g ? g[position] : A(1), top, log_sum, weights};
    }
};

template <class T> Labels<T> labels_of(const Array& target, const Array& weight, int64_t classes, int64_t ignored, double smoothing) {
    return {target.ptr<int64_t>(), device::Parameter<T>(weight), ignored, Wide<T>(1 - smoothing), Wide<T>(smoothing / double(classes))};
}

template <class Rung> void forward(Array& loss, Array& top, Array& log_sum, const Array& x, const Array& target, const Array& weight, int64_t outer,
                                   int64_t classes, int64_t inner, int64_t ignored, double smoothing) {
    if (x.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        using A = Wide<T>;
        Array none;
        Rung::template solve<T>(Forward<T>{softmax::rows_of<T>(none, x, nullptr, outer, classes, inner),
                                           labels_of<T>(target, weight, classes, ignored, smoothing), loss.ptr<A>(), top.ptr<A>(), log_sum.ptr<A>()});
    });
}

template <class Rung> void backward(Array& dx, const Array& g, const Array& x, const Array& target, const Array& weight, const Array& top,
                                    const Array& log_sum, int64_t outer, int64_t classes, int64_t inner, int64_t ignored, double smoothing) {
    if (x.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        using A = Wide<T>;
        Rung::template solve<T>(Backward<T>{softmax::rows_of<T>(dx, x, nullptr, outer, classes, inner),
                                            labels_of<T>(target, weight, classes, ignored, smoothing), g.ptr<A>(), top.ptr<A>(), log_sum.ptr<A>()});
    });
}

template <class Rung> void step(Array& scores, Array& loss, const Array& g, const Array& target, const Array& weight, int64_t ignored,
                                double smoothing, int64_t gradient) {
    if (scores.size() == 0) return;
    device::by_dtype(scores.dtype, [&]<class T>() {
        using A = Wide<T>;
        const int64_t classes = scores.shape[1];
        Rung::template solve<T>(Step<T>{{softmax::rows_of<T>(scores, scores, nullptr, scores.shape[0], classes, 1),
                                         labels_of<T>(target, weight, classes, ignored, smoothing), loss.ptr<A>(), nullptr, nullptr},
                                        g.ptr<A>(), gradient != 0});
    });
}

#define CROSS_ENTROPY_RUNG(path, Rung)                                                       \
    TG_KERNEL(cross_entropy_labels, path, device::FLOATS, forward<Rung>)                     \
    TG_KERNEL(cross_entropy_labels_backward, path, device::FLOATS, backward<Rung>)           \
    TG_KERNEL(linear_cross_entropy, path, device::FLOATS, step<Rung>)

}  // namespace tg::cross_entropy
