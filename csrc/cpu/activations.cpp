// Activations, forward and backward in one pass each: exact in float32 to a few units in the last place, no overflow.
#include "../core/map.h"
#include "../core/simd_math.h"

namespace tg {
namespace {

using simd::V;
using simd::all;

template <class F> void forward(const char* op, Array& y, const Array& x, F f) {
    dispatch_float(y.dtype, op, [&]<class T>() {
        const Array* in[] = {&x};
        map<T>(y, in, [=](V<T> v) -> V<T> { return f.template operator()<T>(v); });
    });
}

// gx = g f'(x).
template <class F> void backward(const char* op, Array& gx, const Array& g, const Array& x, F slope) {
    dispatch_float(gx.dtype, op, [&]<class T>() {
        const Array* in[] = {&g, &x};
        map<T>(gx, in, [=](V<T> d, V<T> v) -> V<T> { return d * slope.template operator()<T>(v); });
    });
}

void silu(Array& y, const Array& x) {
    forward("silu", y, x, []<class T>(V<T> v) { return v / (simd::exp<T>(-v) + T(1)); });
}
void silu_backward(Array& gx, const Array& g, const Array& x) {
    backward("silu_backward", gx, g, x, []<class T>(V<T> v) {
        const V<T> s = simd::sigmoid<T>(v);
        return s * (v * (T(1) - s) + T(1));
    });
}
TG_KERNEL(silu, "cpu/simd", "float32 float64", silu)
TG_KERNEL(silu_backward, "cpu/simd", "float32 float64", silu_backward)

// x Phi(x), or with `approximate` x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 = x sigmoid(2 sqrt(2/pi) (x + ...)).
constexpr double TWO_ROOT_2_PI = 1.59576912160573071176, CUBIC = 0.044715;

void gelu(Array& y, const Array& x, int64_t approximate) {
    if (approximate) forward("gelu", y, x, []<class T>(V<T> v) {
        return v * simd::sigmoid<T>(v * (v * v * T(TWO_ROOT_2_PI * CUBIC) + T(TWO_ROOT_2_PI)));
    });
    else forward("gelu", y, x, []<class T>(V<T> v) { return v * simd::normal_cdf<T>(v); });
}
void gelu_backward(Array& gx, const Array& g, const Array& x, int64_t approximate) {
    if (approximate) backward("gelu_backward", gx, g, x, []<class T>(V<T> v) {
        const V<T> q = v * v, s = simd::sigmoid<T>(v * (q * T(TWO_ROOT_2_PI * CUBIC) + T(TWO_ROOT_2_PI)));
        return s + v * s * (T(1) - s) * (q * T(3 * TWO_ROOT_2_PI * CUBIC) + T(TWO_ROOT_2_PI));
    });
    else backward("gelu_backward", gx, g, x, []<class T>(V<T> v) { return simd::normal_cdf<T>(v) + v * simd::normal_pdf<T>(v); });
}
TG_KERNEL(gelu, "cpu/simd", "float32 float64", gelu)
TG_KERNEL(gelu_backward, "cpu/simd", "float32 float64", gelu_backward)

void softplus(Array& y, const Array& x, double beta, double threshold) {
    forward("softplus", y, x, [=]<class T>(V<T> v) {
        const V<T> z = v * T(beta);
        return z > T(threshold) ? v : simd::softplus<T>(z) / T(beta);
    });
}
void softplus_backward(Array& gx, const Array& g, const Array& x, double beta, double threshold) {
    backward("softplus_backward", gx, g, x, [=]<class T>(V<T> v) {
        const V<T> z = v * T(beta);
        return z > T(threshold) ? all(T(1)) : simd::sigmoid<T>(z);
    });
}
TG_KERNEL(softplus, "cpu/simd", "float32 float64", softplus)
TG_KERNEL(softplus_backward, "cpu/simd", "float32 float64", softplus_backward)

// tanh(ln(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2); from 20 on it is 1.
template <class T> V<T> tanh_softplus(V<T> x) {
    const V<T> e = simd::exp<T>(x > T(20) ? all(T(20)) : x), n = e * (e + T(2));
    return n / (n + T(2));
}
void mish(Array& y, const Array& x) {
    forward("mish", y, x, []<class T>(V<T> v) { return v * tanh_softplus<T>(v); });
}
void mish_backward(Array& gx, const Array& g, const Array& x) {
    backward("mish_backward", gx, g, x, []<class T>(V<T> v) {
        const V<T> t = tanh_softplus<T>(v);
        return t + v * (T(1) - t * t) * simd::sigmoid<T>(v);
    });
}
TG_KERNEL(mish, "cpu/simd", "float32 float64", mish)
TG_KERNEL(mish_backward, "cpu/simd", "float32 float64", mish_backward)

void scaled_elu(Array& y, const Array& x, double alpha, double scale, double input_scale) {
    forward("scaled_elu", y, x, [=]<class T>(V<T> v) {
        const V<T> low = simd::expm1<T>((v > T(0) ? V<T>{} : v) * T(input_scale)) * T(alpha * scale);
        return v > T(0) ? v * T(scale) : low;
    });
}
void scaled_elu_backward(Array& gx, const Array& g, const Array& x, double alpha, double scale, double input_scale) {
    backward("scaled_elu_backward", gx, g, x, [=]<class T>(V<T> v) {
        const V<T> low = simd::exp<T>((v > T(0) ? V<T>{} : v) * T(input_scale)) * T(alpha * scale * input_scale);
        return v > T(0) ? all(T(scale)) : low;
    });
}
TG_KERNEL(scaled_elu, "cpu/simd", "float32 float64", scaled_elu)
TG_KERNEL(scaled_elu_backward, "cpu/simd", "float32 float64", scaled_elu_backward)

void leaky_relu(Array& y, const Array& x, double negative_slope) {
    forward("leaky_relu", y, x, [=]<class T>(V<T> v) { return v > T(0) ? v : v * T(negative_slope); });
}
void leaky_relu_backward(Array& gx, const Array& g, const Array& x, double negative_slope) {
    backward("leaky_relu_backward", gx, g, x, [=]<class T>(V<T> v) { return v > T(0) ? all(T(1)) : all(T(negative_slope)); });
}
TG_KERNEL(leaky_relu, "cpu/simd", "float32 float64", leaky_relu)
TG_KERNEL(leaky_relu_backward, "cpu/simd", "float32 float64", leaky_relu_backward)

}  // namespace
}  // namespace tg
