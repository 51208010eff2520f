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

    // Writes a position's loss and statistics; `weighted` is sum_c w_c x_c and `weights` sum_c w_c, both 0 without smoothing.
    __device__ void finish(int64_t position, A top_, A log_sum_, A weighted, A weights) const {
        top[position] = top_;
        log_sum[position] = log_sum_;
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

template <class T> struct Backward {
    using A = Wide<T>;
    softmax::Rows<T> scores;
    Labels<T> labels;
    const A *g, *top, *log_sum;

    // dx of class c of a position whose label is t; `slope` is the factor of p.
    __device__ A slope(int64_t position, int64_t t, A weights) const {
        return g[position] * (labels.rest * labels.weight_of(t) + labels.uniform * weights);
    }
    __device__ A gradient(int64_t position, int64_t t, A slope, A x, int c) const {
        A dx = std::exp((x - top[position]) - log_sum[position]) * slope;
        if (labels.uniform != 0) dx -= g[position] * labels.uniform * labels.weight_of(c);
        return c == t ? dx - g[position] * labels.rest * labels.weight_of(t) : dx;
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

}  // namespace tg::cross_entropy
