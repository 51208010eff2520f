// The idea: an activation, or the whole of its backward, is one pass: read x (and the gradient), write once.
// Before it (arithmetic): one operation a launch; here a formula of many, with its numbers as arguments of the launch.
// Ownership: as there; thread i owns elements VEC i to VEC i + VEC - 1, then those a whole grid further on.
// Bottleneck: bandwidth of memory in fp32; the exponential in fp64.
// Measure: python -m tensorgrad lab gelu --kernel cuda/vectorized
#include "formulas.h"

namespace tg::pointwise {

#define TG_NUMBERS_0
#define TG_NUMBERS_1 , double n0
#define TG_NUMBERS_2 TG_NUMBERS_1, double n1
#define TG_NUMBERS_3 TG_NUMBERS_2, double n2
#define TG_LIST_0
#define TG_LIST_1 , n0
#define TG_LIST_2 TG_LIST_1, n1
#define TG_LIST_3 TG_LIST_2, n2

#define TG_ACTIVATION(op, count, expression, ...)                                                                                \
    TG_FORMULA(op##_formula, count, (T x), (expression), __VA_ARGS__)                                                            \
    void op##_map(Array& y, const Array& a TG_NUMBERS_##count) { map_floats<op##_formula>(#op, y, {&a} TG_LIST_##count); }       \
    TG_KERNEL(op, "cuda/vectorized", TG_FLOATS, op##_map)
#define TG_SLOPE(op, count, expression, ...)                                                                                     \
    TG_FORMULA(op##_slope_formula, count, (T g, T x), g * (expression), __VA_ARGS__)                                             \
    void op##_slope(Array& y, const Array& a, const Array& b TG_NUMBERS_##count) {                                               \
        map_floats<op##_slope_formula>(#op "_backward", y, {&a, &b} TG_LIST_##count);                                            \
    }                                                                                                                            \
    TG_KERNEL(op##_backward, "cuda/vectorized", TG_FLOATS, op##_slope)
#define TG_EITHER(op, first, second, ...)                                                                                        \
    TG_FORMULA(op##_first, 0, (T x), (first))                                                                                    \
    TG_FORMULA(op##_second, 0, (T x), (second), __VA_ARGS__)                                                                     \
    void op##_map(Array& y, const Array& a, int64_t flag) {                                                                      \
        if (flag) map_floats<op##_second>(#op, y, {&a});                                                                         \
        else map_floats<op##_first>(#op, y, {&a});                                                                               \
    }                                                                                                                            \
    TG_KERNEL(op, "cuda/vectorized", TG_FLOATS, op##_map)
#define TG_EITHER_SLOPE(op, first, second, ...)                                                                                  \
    TG_FORMULA(op##_first_slope, 0, (T g, T x), g * (first))                                                                     \
    TG_FORMULA(op##_second_slope, 0, (T g, T x), g * (second), __VA_ARGS__)                                                      \
    void op##_slope(Array& y, const Array& a, const Array& b, int64_t flag) {                                                    \
        if (flag) map_floats<op##_second_slope>(#op "_backward", y, {&a, &b});                                                   \
        else map_floats<op##_first_slope>(#op "_backward", y, {&a, &b});                                                         \
    }                                                                                                                            \
    TG_KERNEL(op##_backward, "cuda/vectorized", TG_FLOATS, op##_slope)

#include "../../core/formulas/activations.h"

}  // namespace tg::pointwise
