// Chains of element-wise operations in one pass, one vector at a time, from the formulas that all devices share.
#include "../core/map.h"
#include "../core/simd_math.h"

namespace tg {
namespace {

namespace math = simd;

#define TG_MAP(op, parameters, result, ...)                                                          \
    dispatch_float(y.dtype, #op, [&]<class T>() {                                                    \
        using V = simd::V<T>;                                                                        \
        map<T>(y, in, [] parameters -> V {                                                           \
            __VA_ARGS__                                                                              \
            return result;                                                                           \
        });                                                                                          \
    });

// Of the formulas of activations those of two variants, of the sum a + b: bias_gelu.
#define TG_ACTIVATION(...)
#define TG_SLOPE(...)
#define TG_EITHER(op, first, second, ...)                                                            \
    void bias_##op##_map(Array& y, const Array& x, const Array& bias, int64_t flag) {                \
        const Array* in[] = {&x, &bias};                                                             \
        if (!flag) TG_MAP(bias_##op, (V a, V b), (first), const V x = a + b;)                        \
        else TG_MAP(bias_##op, (V a, V b), (second), const V x = a + b; __VA_ARGS__)                 \
    }                                                                                                \
    TG_KERNEL(bias_##op, "cpu/simd", "float32 float64", bias_##op##_map)
#define TG_EITHER_SLOPE(op, first, second, ...)                                                      \
    void bias_##op##_slope(Array& y, const Array& g, const Array& x, const Array& bias, int64_t flag) { \
        const Array* in[] = {&g, &x, &bias};                                                         \
        if (!flag) TG_MAP(bias_##op, (V g, V a, V b), g * (first), const V x = a + b;)               \
        else TG_MAP(bias_##op, (V g, V a, V b), g * (second), const V x = a + b; __VA_ARGS__)        \
    }                                                                                                \
    TG_KERNEL(bias_##op##_backward, "cpu/simd", "float32 float64", bias_##op##_slope)

#define TG_BINARY(op, expression, ...)                                                               \
    void op##_map(Array& y, const Array& a, const Array& b) {                                        \
        const Array* in[] = {&a, &b};                                                                \
        TG_MAP(op, (V x, V y), (expression), __VA_ARGS__)                                            \
    }                                                                                                \
    TG_KERNEL(op, "cpu/simd", "float32 float64", op##_map)
#define TG_PAIR(op, first, second, ...)                                                              \
    void op##_map(Array& out, Array& more, const Array& a, const Array& b, const Array& c) {         \
        const Array* in[] = {&a, &b, &c};                                                            \
        dispatch_float(out.dtype, #op, [&]<class T>() {                                              \
            using V = simd::V<T>;                                                                    \
            map<T>(out, in, [](V x, V y, V z, V& other) -> V {                                       \
                __VA_ARGS__                                                                          \
                other = (second);                                                                    \
                return first;                                                                        \
            }, &more);                                                                               \
        });                                                                                          \
    }                                                                                                \
    TG_KERNEL(op, "cpu/simd", "float32 float64", op##_map)

#include "../core/formulas/activations.h"
#include "../core/formulas/chains.h"

}  // namespace
}  // namespace tg
