// The idea: operands of any dtype, results of one byte: 16 bytes of operand make 16 / size bytes of result.
// Before it (arithmetic): results of the operands' dtype.
// Ownership: as there; thread i owns elements VEC i to VEC i + VEC - 1, then those a whole grid further on.
// Bottleneck: bandwidth of memory, nearly all of it the operands'.
// Measure: python -m tensorgrad lab lt --kernel cuda/vectorized
#include "integers.h"

namespace tg::pointwise {

template <template <class> class Formula> void compare(const char* op, Array& z, const Array& a, const Array& b) {
    const auto map = [&]<class S>() { run<uint8_t, S, S>(layout_of<S>(op, z, {&a, &b}), Formula<Computed<S>>{}); };
    const bool floats = a.dtype <= DType::bfloat16;
    if (floats) by_float(a.ndim || !b.ndim ? a.dtype : b.dtype, op, map);
    else by_integer<true>(a.dtype, op, map);
}

#define TG_COMPARISON(op, expression)                                                                                            \
    TG_FORMULA(op##_formula, 0, (T x, T y), (expression))                                                                        \
    void op##_map(Array& z, const Array& a, const Array& b) { compare<op##_formula>(#op, z, a, b); }                             \
    TG_KERNEL(op, "cuda/vectorized", TG_FLOATS " bool " TG_INTEGERS, op##_map)

TG_COMPARISON(eq, x == y)
TG_COMPARISON(ne, x != y)
TG_COMPARISON(lt, x < y)
TG_COMPARISON(le, x <= y)

// x > y is y < x.
void gt_map(Array& z, const Array& a, const Array& b) { compare<lt_formula>("gt", z, b, a); }
void ge_map(Array& z, const Array& a, const Array& b) { compare<le_formula>("ge", z, b, a); }
TG_KERNEL(gt, "cuda/vectorized", TG_FLOATS " bool " TG_INTEGERS, gt_map)
TG_KERNEL(ge, "cuda/vectorized", TG_FLOATS " bool " TG_INTEGERS, ge_map)

}  // namespace tg::pointwise
