// The steps of optimizers: what becomes of one element. For every kind of kernel.
// p is the parameter, g its gradient, s what the optimizer keeps between steps; a step changes s and gives the new p. T is the type
// computed in. `make` takes which states there are and the numbers the op passes to its kernels, in order; NEEDED are the states
// that are always there, a bit each.
#pragma once
#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define TG_STEP __host__ __device__ __forceinline__
#else
#define TG_STEP inline
#endif

namespace tg::steps {

// The gradient as a step uses it: negated to maximise, with weight decay added.
template <class T> struct Gradient {
    T sign, decay;
    Gradient(double weight_decay, int64_t maximize) : sign(maximize ? T(-1) : T(1)), decay(T(weight_decay)) {}
    TG_STEP T operator()(T p, T g) const { return sign * g + decay * p; }
};

// buf = momentum buf + (1 - dampening) g (buf = g at first); p -= lr (nesterov ? g + momentum buf : buf). Without a buffer p -= lr g.
template <class T> struct Sgd {
    static constexpr int STATES = 1;
    static constexpr unsigned NEEDED = 0;
    Gradient<T> gradient;
    T lr, momentum, fresh;
    bool nesterov, first, buffered;

    static Sgd make(const bool (&has)[1], double lr, double momentum, double dampening, double weight_decay, int64_t nesterov, int64_t maximize,
                    int64_t first) {
        return {{weight_decay, maximize}, T(lr), T(momentum), first ? T(1) : T(1 - dampening), nesterov != 0, first != 0, has[0]};
    }
    TG_STEP T operator()(T p, T g, T (&s)[1]) const {
        g = gradient(p, g);
        if (!buffered) return p - lr * g;
        const T buf = s[0] = momentum * (first ? T(0) : s[0]) + fresh * g;
        return p - lr * (nesterov ? g + momentum * buf : buf);
    }
};

// m = lerp(m, g, 1 - beta1); v = beta2 v + (1 - beta2) g^2; p = shrink p - step_size m / (sqrt(v) / root_correction + eps), or of the
// largest v so far, where there is a third state.
template <class T> struct Adam {
    static constexpr int STATES = 3;
    static constexpr unsigned NEEDED = 3;
    Gradient<T> gradient;
    T step_size, correction, first, keep, second, eps, shrink;
    bool amsgrad;

    static Adam make(const bool (&has)[3], double step_size, double root_correction, double beta1, double beta2, double eps, double weight_decay,
                     double shrink, int64_t maximize) {
        return {{weight_decay, maximize}, T(step_size), T(1 / root_correction), T(1 - beta1), T(beta2), T(1 - beta2), T(eps), T(shrink), has[2]};
    }
    TG_STEP T operator()(T p, T g, T (&s)[3]) const {
        g = gradient(p, g);
        const T mean = s[0] = s[0] + first * (g - s[0]);
        T square = s[1] = keep * s[1] + second * g * g;
        if (amsgrad) square = s[2] = square > s[2] || square != square ? square : s[2];
        return shrink * p - step_size * mean / (std::sqrt(square) * correction + eps);
    }
};

// s = alpha s + (1 - alpha) g^2; centred: minus the squared mean gradient; p -= lr (momentum buffer of) g / (sqrt(s) + eps)
template <class T> struct Rmsprop {
    static constexpr int STATES = 3;
    static constexpr unsigned NEEDED = 1;
    Gradient<T> gradient;
    T lr, alpha, rest, eps, momentum;
    bool centered, buffered;

    static Rmsprop make(const bool (&has)[3], double lr, double alpha, double eps, double weight_decay, double momentum, int64_t maximize) {
        return {{weight_decay, maximize}, T(lr), T(alpha), T(1 - alpha), T(eps), T(momentum), has[1], has[2]};
    }
    TG_STEP T operator()(T p, T g, T (&s)[3]) const {
        g = gradient(p, g);
        T square = s[0] = alpha * s[0] + rest * g * g;
        if (centered) {
            s[1] += rest * (g - s[1]);
            square -= s[1] * s[1];
        }
        T update = g / (std::sqrt(square) + eps);
        if (buffered) update = s[2] = momentum * s[2] + update;
        return p - lr * update;
    }
};

// s += g^2; p -= rate g / (sqrt(s) + eps)
template <class T> struct Adagrad {
    static constexpr int STATES = 1;
    static constexpr unsigned NEEDED = 1;
    Gradient<T> gradient;
    T rate, eps;

    static Adagrad make(const bool (&)[1], double rate, double eps, double weight_decay, int64_t maximize) {
        return {{weight_decay, maximize}, T(rate), T(eps)};
    }
    TG_STEP T operator()(T p, T g, T (&s)[1]) const {
        g = gradient(p, g);
        const T square = s[0] = s[0] + g * g;
        return p - rate * g / (std::sqrt(square) + eps);
    }
};

// s = rho s + (1 - rho) g^2; u = sqrt(d + eps) / sqrt(s + eps) g; d = rho d + (1 - rho) u^2; p -= lr u
template <class T> struct Adadelta {
    static constexpr int STATES = 2;
    static constexpr unsigned NEEDED = 3;
    Gradient<T> gradient;
    T lr, rho, rest, eps;

    static Adadelta make(const bool (&)[2], double lr, double rho, double eps, double weight_decay, int64_t maximize) {
        return {{weight_decay, maximize}, T(lr), T(rho), T(1 - rho), T(eps)};
    }
    TG_STEP T operator()(T p, T g, T (&s)[2]) const {
        g = gradient(p, g);
        const T square = s[0] = rho * s[0] + rest * g * g;
        const T update = std::sqrt(s[1] + eps) / std::sqrt(square + eps) * g;
        s[1] = rho * s[1] + rest * update * update;
        return p - lr * update;
    }
};

// m = lerp(m, g, 1 - beta1); u = max(beta2 u, |g| + eps), which a NaN wins; p -= step_size m / u
template <class T> struct Adamax {
    static constexpr int STATES = 2;
    static constexpr unsigned NEEDED = 3;
    Gradient<T> gradient;
    T step_size, first, keep, eps;

    static Adamax make(const bool (&)[2], double step_size, double beta1, double beta2, double eps, double weight_decay, int64_t maximize) {
        return {{weight_decay, maximize}, T(step_size), T(1 - beta1), T(beta2), T(eps)};
    }
    TG_STEP T operator()(T p, T g, T (&s)[2]) const {
        g = gradient(p, g);
        const T mean = s[0] = s[0] + first * (g - s[0]);
        const T old = keep * s[1], now = std::abs(g) + eps;
        const T top = s[1] = old > now || old != old ? old : now;
        return p - step_size * mean / top;
    }
};

// Adam's moments m and v; p = shrink p - (of_gradient g + of_mean m) / (sqrt(v) / root_correction + eps)
template <class T> struct Nadam {
    static constexpr int STATES = 2;
    static constexpr unsigned NEEDED = 3;
    Gradient<T> gradient;
    T of_gradient, of_mean, correction, first, keep, second, eps, shrink;

    static Nadam make(const bool (&)[2], double of_gradient, double of_mean, double root_correction, double beta1, double beta2, double eps,
                      double weight_decay, double shrink, int64_t maximize) {
        return {{weight_decay, maximize}, T(of_gradient), T(of_mean), T(1 / root_correction), T(1 - beta1), T(beta2), T(1 - beta2), T(eps),
                T(shrink)};
    }
    TG_STEP T operator()(T p, T g, T (&s)[2]) const {
        g = gradient(p, g);
        const T mean = s[0] = s[0] + first * (g - s[0]);
        const T square = s[1] = keep * s[1] + second * g * g;
        return shrink * p - (of_gradient * g + of_mean * mean) / (std::sqrt(square) * correction + eps);
    }
};

// Adam's moments m and v; p = shrink p - step_size m / (sqrt(v) + eps), without the divisor while the variance of v is not to be had
template <class T> struct Radam {
    static constexpr int STATES = 2;
    static constexpr unsigned NEEDED = 3;
    Gradient<T> gradient;
    T step_size, first, keep, second, eps, shrink;
    bool adaptive;

    static Radam make(const bool (&)[2], double step_size, double beta1, double beta2, double eps, double weight_decay, double shrink,
                      int64_t adaptive, int64_t maximize) {
        return {{weight_decay, maximize}, T(step_size), T(1 - beta1), T(beta2), T(1 - beta2), T(eps), T(shrink), adaptive != 0};
    }
    TG_STEP T operator()(T p, T g, T (&s)[2]) const {
        g = gradient(p, g);
        const T mean = s[0] = s[0] + first * (g - s[0]);
        const T square = s[1] = keep * s[1] + second * g * g;
        return shrink * p - (adaptive ? step_size * mean / (std::sqrt(square) + eps) : step_size * mean);
    }
};

// An element's own step: longer where the gradient kept its sign, shorter where it changed, and then not taken. p -= sign(g) step
template <class T> struct Rprop {
    static constexpr int STATES = 2;
    static constexpr unsigned NEEDED = 3;
    T sign, shorter, longer, least, most;

    static Rprop make(const bool (&)[2], double shorter, double longer, double least, double most, int64_t maximize) {
        return {maximize ? T(-1) : T(1), T(shorter), T(longer), T(least), T(most)};
    }
    TG_STEP T operator()(T p, T g, T (&s)[2]) const {
        g = sign * g;
        const T agrees = g * s[0];
        const T step = s[1] * (agrees > T(0) ? longer : agrees < T(0) ? shorter : T(1));
        s[1] = step < least ? least : step > most ? most : step;
        s[0] = agrees < T(0) ? T(0) : g;
        const T way = T(s[0] > T(0)) - T(s[0] < T(0));
        return p - way * s[1];
    }
};

// p = shrink p - eta g; mean of all p so far: ax += mu (p - ax), which is p itself where mu is 1
template <class T> struct Asgd {
    static constexpr int STATES = 1;
    static constexpr unsigned NEEDED = 1;
    Gradient<T> gradient;
    T eta, shrink, mu;

    static Asgd make(const bool (&)[1], double eta, double shrink, double mu, double weight_decay, int64_t maximize) {
        return {{weight_decay, maximize}, T(eta), T(shrink), T(mu)};
    }
    TG_STEP T operator()(T p, T g, T (&s)[1]) const {
        g = gradient(p, g);
        p = shrink * p - eta * g;
        s[0] = mu == T(1) ? p : s[0] + mu * (p - s[0]);
        return p;
    }
};

}  // namespace tg::steps
