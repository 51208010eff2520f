// Optimizer steps, each one pass over memory per parameter: gradient, state and parameter are read once and written once.
// Element i is computed from element i of each array alone, so threads and vector width do not change the result.
#include <cmath>

#include "../core/parallel.h"
#include "../core/registry.h"

namespace tg {
namespace {

// f(i) for every element, in vectors, on all threads where that pays. Each thread works on a copy of f that nothing else can
// see: the compiler then knows that no store changes the numbers in it, and vectorises.
template <class F> void each(int64_t n, const F& shared) {
    parallel_ranges(n, n, [&](int64_t begin, int64_t end) {
        const F f = shared;
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) f(i);
    });
}

// The gradient as the step uses it: negated to maximise, with weight decay added.
template <class T> struct Gradient {
    const T *g, *p;
    T sign, decay;
    Gradient(const Array& g_, const Array& p_, double weight_decay, int64_t maximize)
        : g(g_.ptr<T>()), p(p_.ptr<T>()), sign(maximize ? T(-1) : T(1)), decay(T(weight_decay)) {}
    T operator()(int64_t i) const { return sign * g[i] + decay * p[i]; }
};

// buf = momentum buf + (1 - dampening) g (buf = g at first); p -= lr (nesterov ? g + momentum buf : buf)
void sgd_step(Array& p_, const Array& g_, Array& buf_, double lr_, double momentum_, double dampening, double weight_decay,
              int64_t nesterov, int64_t maximize, int64_t first) {
    dispatch_float(p_.dtype, "sgd_step", [&]<class T>() {
        T *p = p_.ptr<T>(), *buf = buf_.ptr<T>();
        const Gradient<T> gradient(g_, p_, weight_decay, maximize);
        const T lr = T(lr_), momentum = T(momentum_), fresh = first ? T(1) : T(1 - dampening);
        if (!buf) return each(p_.size(), [=](int64_t i) { p[i] -= lr * gradient(i); });
        if (first) each(p_.size(), [=](int64_t i) { buf[i] = 0; });
        each(p_.size(), [=](int64_t i) {
            const T g = gradient(i), b = momentum * buf[i] + fresh * g;
            buf[i] = b;
            p[i] -= lr * (nesterov ? g + momentum * b : b);
        });
    });
}

// m = lerp(m, g, 1 - beta1); v = beta2 v + (1 - beta2) g^2; p -= step_size m / (sqrt(v) / root_correction + eps)
void adam_step(Array& p_, const Array& g_, Array& m_, Array& v_, Array& top_, double step_size_, double root_correction, double beta1,
               double beta2, double eps_, double weight_decay, double shrink_, int64_t maximize) {
    dispatch_float(p_.dtype, "adam_step", [&]<class T>() {
        T *p = p_.ptr<T>(), *m = m_.ptr<T>(), *v = v_.ptr<T>(), *top = top_.ptr<T>();
        const Gradient<T> gradient(g_, p_, weight_decay, maximize);
        const T step_size = T(step_size_), correction = T(1 / root_correction), eps = T(eps_), shrink = T(shrink_);
        const T keep = T(beta2), first = T(1 - beta1), second = T(1 - beta2);
        const auto update = [=](int64_t i, auto largest) {
            const T g = gradient(i), mean = m[i] + first * (g - m[i]), square = keep * v[i] + second * g * g;
            m[i] = mean;
            v[i] = square;
            p[i] = shrink * p[i] - step_size * mean / (std::sqrt(largest(i, square)) * correction + eps);
        };
        if (!top) return each(p_.size(), [=](int64_t i) { update(i, [](int64_t, T square) { return square; }); });
        each(p_.size(), [=](int64_t i) {
            update(i, [=](int64_t j, T square) { return top[j] = square > top[j] || square != square ? square : top[j]; });
        });
    });
}

// s = alpha s + (1 - alpha) g^2; centred: minus the squared mean gradient; p -= lr (momentum buffer of) g / (sqrt(s) + eps)
void rmsprop_step(Array& p_, const Array& g_, Array& s_, Array& mean_, Array& buf_, double lr_, double alpha_, double eps_,
                  double weight_decay, double momentum_, int64_t maximize) {
    dispatch_float(p_.dtype, "rmsprop_step", [&]<class T>() {
        T *p = p_.ptr<T>(), *s = s_.ptr<T>(), *mean = mean_.ptr<T>(), *buf = buf_.ptr<T>();
        const Gradient<T> gradient(g_, p_, weight_decay, maximize);
        const T lr = T(lr_), alpha = T(alpha_), rest = T(1 - alpha_), eps = T(eps_), momentum = T(momentum_);
        each(p_.size(), [=](int64_t i) {
            const T g = gradient(i);
            T square = s[i] = alpha * s[i] + rest * g * g;
            if (mean) {
                mean[i] += rest * (g - mean[i]);
                square -= mean[i] * mean[i];
            }
            T update = g / (std::sqrt(square) + eps);
            if (buf) update = buf[i] = momentum * buf[i] + update;
            p[i] -= lr * update;
        });
    });
}

// s += g^2; p -= rate g / (sqrt(s) + eps)
void adagrad_step(Array& p_, const Array& g_, Array& s_, double rate_, double eps_, double weight_decay, int64_t maximize) {
    dispatch_float(p_.dtype, "adagrad_step", [&]<class T>() {
        T *p = p_.ptr<T>(), *s = s_.ptr<T>();
        const Gradient<T> gradient(g_, p_, weight_decay, maximize);
        const T rate = T(rate_), eps = T(eps_);
        each(p_.size(), [=](int64_t i) {
            const T g = gradient(i), square = s[i] + g * g;
            s[i] = square;
            p[i] -= rate * g / (std::sqrt(square) + eps);
        });
    });
}

TG_KERNEL(sgd_step, "cpu/fused", "float32 float64", sgd_step)
TG_KERNEL(adam_step, "cpu/fused", "float32 float64", adam_step)
TG_KERNEL(rmsprop_step, "cpu/fused", "float32 float64", rmsprop_step)
TG_KERNEL(adagrad_step, "cpu/fused", "float32 float64", adagrad_step)

}  // namespace
}  // namespace tg
