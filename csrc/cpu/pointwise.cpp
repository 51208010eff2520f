// Arithmetic and elementary functions, one vector at a time: one pass over memory, no warnings, any strides.
#include "../core/map.h"
#include "../core/simd_math.h"

namespace tg {
namespace {

namespace math = simd;

// What a formula becomes here: a map over vectors of float or double.
#define TG_MAP(op, parameters, expression, ...)                                                         \
    dispatch_float(out.dtype, #op, [&]<class T>() {                                                     \
        using V = simd::V<T>;                                                                           \
        map<T>(out, in, [] parameters -> V {                                                            \
            __VA_ARGS__                                                                                 \
            return expression;                                                                          \
        });                                                                                             \
    });
#define TG_UNARY(op, expression, ...)                                                                   \
    void op##_map(Array& out, const Array& a) {                                                         \
        const Array* in[] = {&a};                                                                       \
        TG_MAP(op, (V x), (expression), __VA_ARGS__)                                                    \
    }                                                                                                   \
    TG_KERNEL(op, "cpu/simd", "float32 float64", op##_map)
#define TG_BINARY(op, expression, ...)                                                                  \
    void op##_map(Array& out, const Array& a, const Array& b) {                                         \
        const Array* in[] = {&a, &b};                                                                   \
        TG_MAP(op, (V x, V y), (expression), __VA_ARGS__)                                               \
    }                                                                                                   \
    TG_KERNEL(op, "cpu/simd", "float32 float64", op##_map)
#define TG_TERNARY(op, expression, ...)                                                                 \
    void op##_map(Array& out, const Array& a, const Array& b, const Array& c) {                         \
        const Array* in[] = {&a, &b, &c};                                                               \
        TG_MAP(op, (V x, V y, V z), (expression), __VA_ARGS__)                                          \
    }                                                                                                   \
    TG_KERNEL(op, "cpu/simd", "float32 float64", op##_map)

#include "../core/formulas/arithmetic.h"

// y with erf(y) = x: Giles' approximation, then Newton's steps on the side (erf or erfc) that keeps the digits.
template <class T> T inverse_erf(T x) {
    const double a = std::abs(double(x));
    if (!(a < 1)) return a == 1 ? std::copysign(std::numeric_limits<T>::infinity(), x) : std::numeric_limits<T>::quiet_NaN();
    const double w = -std::log((1 - a) * (1 + a));
    double y;
    if (w < 5) {
        const double c[] = {2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
                            -0.00125372503, -0.00417768164, 0.246640727, 1.50140941};
        y = c[0];
        for (int i = 1; i < 9; ++i) y = c[i] + y * (w - 2.5);
    } else {
        const double c[] = {-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
                            -0.0076224613, 0.00943887047, 1.00167406, 2.83297682};
        y = c[0];
        for (int i = 1; i < 9; ++i) y = c[i] + y * (std::sqrt(w) - 3);
    }
    y *= a;
    for (int i = 0; i < 2; ++i) {
        const double error = a < 0.5 ? std::erf(y) - a : (1 - a) - std::erfc(y);
        y -= error * 0.886226925452758013649 * std::exp(y * y);
    }
    return T(std::copysign(y, double(x)));
}
TG_UNARY(erfinv, simd::lanes<T>(x, [](T v) { return inverse_erf<T>(v); }))

}  // namespace
}  // namespace tg
