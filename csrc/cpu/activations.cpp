// Activations, forward and backward in one pass each, one vector at a time, from the formulas that all devices share.
#include "../core/map.h"
#include "../core/simd_math.h"

namespace tg {
namespace {

namespace math = simd;

#define TG_NUMBERS_0
#define TG_NUMBERS_1 , double n0
#define TG_NUMBERS_2 TG_NUMBERS_1, double n1
#define TG_NUMBERS_3 TG_NUMBERS_2, double n2
#define TG_LIST_0
#define TG_LIST_1 T(n0)
#define TG_LIST_2 TG_LIST_1, T(n1)
#define TG_LIST_3 TG_LIST_2, T(n2)

// Maps one array (of inputs x), or two (gradients g and inputs x), by a formula; the numbers in it are n.
#define TG_MAP(op, count, parameters, result, ...)                                       \
    dispatch_float(y.dtype, #op, [&]<class T>() {                                        \
        using V = simd::V<T>;                                                            \
        const struct { T n[count + 1]; } numbers{{TG_LIST_##count}};                     \
        map<T>(y, in, [numbers] parameters -> V {                                        \
            [[maybe_unused]] const T* n = numbers.n;                                     \
            __VA_ARGS__                                                                  \
            return result;                                                               \
        });                                                                              \
    });
#define TG_ACTIVATION(op, count, expression, ...)                                        \
    void op##_map(Array& y, const Array& a TG_NUMBERS_##count) {                         \
        const Array* in[] = {&a};                                                        \
        TG_MAP(op, count, (V x), (expression), __VA_ARGS__)                              \
    }                                                                                    \
    TG_KERNEL(op, "cpu/simd", "float32 float64", op##_map)
#define TG_SLOPE(op, count, expression, ...)                                             \
    void op##_slope(Array& y, const Array& a, const Array& b TG_NUMBERS_##count) {       \
        const Array* in[] = {&a, &b};                                                    \
        TG_MAP(op, count, (V g, V x), g * (expression), __VA_ARGS__)                     \
    }                                                                                    \
    TG_KERNEL(op##_backward, "cpu/simd", "float32 float64", op##_slope)
#define TG_EITHER(op, first, second, ...)                                                \
    void op##_map(Array& y, const Array& a, int64_t flag) {                              \
        const Array* in[] = {&a};                                                        \
        if (!flag) TG_MAP(op, 0, (V x), (first))                                         \
        else TG_MAP(op, 0, (V x), (second), __VA_ARGS__)                                 \
    }                                                                                    \
    TG_KERNEL(op, "cpu/simd", "float32 float64", op##_map)
#define TG_EITHER_SLOPE(op, first, second, ...)                                          \
    void op##_slope(Array& y, const Array& a, const Array& b, int64_t flag) {            \
        const Array* in[] = {&a, &b};                                                    \
        if (!flag) TG_MAP(op, 0, (V g, V x), g * (first))                                \
        else TG_MAP(op, 0, (V g, V x), g * (second), __VA_ARGS__)                        \
    }                                                                                    \
    TG_KERNEL(op##_backward, "cpu/simd", "float32 float64", op##_slope)

#include "../core/formulas/activations.h"

}  // namespace
}  // namespace tg
