// The idea: a chain of operations is one formula as well: bias and GELU, SwiGLU, forward and backward, each operand read once.
// Before it (activations): an array written and read again at every link, a sum before its activation or a product behind it.
// Ownership: as there; thread i owns elements VEC i to VEC i + VEC - 1, then those a whole grid further on.
// Bottleneck: bandwidth of memory in fp32; the exponential in fp64. A bias comes from the caches.
// Measure: python -m tensorgrad lab swiglu --kernel cuda/vectorized
#include "formulas.h"

namespace tg::pointwise {

// Of the formulas of activations those of two variants, of the sum a + b: bias_gelu.
#define TG_ACTIVATION(...)
#define TG_SLOPE(...)
#define TG_EITHER(op, first, second, ...)                                                                                        \
    TG_FORMULA(bias_##op##_first, 0, (T a, T b), (first), const T x = a + b;)                                                    \
    TG_FORMULA(bias_##op##_second, 0, (T a, T b), (second), const T x = a + b; __VA_ARGS__)                                      \
    void bias_##op##_map(Array& y, const Array& a, const Array& b, int64_t flag) {                                               \
        if (flag) map_floats<bias_##op##_second>("bias_" #op, y, {&a, &b});                                                      \
        else map_floats<bias_##op##_first>("bias_" #op, y, {&a, &b});                                                            \
    }                                                                                                                            \
    TG_KERNEL(bias_##op, "cuda/vectorized", TG_FLOATS, bias_##op##_map)
#define TG_EITHER_SLOPE(op, first, second, ...)                                                                                  \
    TG_FORMULA(bias_##op##_first_slope, 0, (T g, T a, T b), g * (first), const T x = a + b;)                                     \
    TG_FORMULA(bias_##op##_second_slope, 0, (T g, T a, T b), g * (second), const T x = a + b; __VA_ARGS__)                       \
    void bias_##op##_slope(Array& y, const Array& g, const Array& a, const Array& b, int64_t flag) {                             \
        if (flag) map_floats<bias_##op##_second_slope>("bias_" #op "_backward", y, {&g, &a, &b});                                \
        else map_floats<bias_##op##_first_slope>("bias_" #op "_backward", y, {&g, &a, &b});                                      \
    }                                                                                                                            \
    TG_KERNEL(bias_##op##_backward, "cuda/vectorized", TG_FLOATS, bias_##op##_slope)

#include "../../core/formulas/activations.h"
#include "../../core/formulas/chains.h"

}  // namespace tg::pointwise
