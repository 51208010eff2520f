// The idea: what does not round needs one kernel a size: integers wrap around as unsigned ones do, and a choice only moves bits.
// Before it (arithmetic): the same for floating dtypes; the condition of `where` is an operand of another dtype.
// Ownership: as there; thread i owns elements VEC i to VEC i + VEC - 1, then those a whole grid further on.
// Bottleneck: bandwidth of memory.
// Measure: python -m tensorgrad lab select_where --kernel cuda/vectorized
#include "integers.h"

namespace tg::pointwise::integers {  // the names of formulas are those of the floating ones

template <template <class> class Formula, bool SIGNED, int N> void map_integers(const char* op, Array& y, const Array* const (&in)[N]) {
    by_integer<SIGNED>(y.dtype, op, [&]<class S>() { run<S, S, S>(layout_of<S>(op, y, in), Formula<S>{}); });
}

#define TG_INTEGER_BINARY(op, types, is_signed, expression)                                                                      \
    TG_FORMULA(op##_formula, 0, (T x, T y), T(expression))                                                                       \
    void op##_map(Array& z, const Array& a, const Array& b) { map_integers<op##_formula, is_signed>(#op, z, {&a, &b}); }         \
    TG_KERNEL(op, "cuda/integers", types, op##_map)

TG_INTEGER_BINARY(add, TG_INTEGERS, false, x + y)
TG_INTEGER_BINARY(sub, TG_INTEGERS, false, x - y)
TG_INTEGER_BINARY(mul, TG_INTEGERS, false, 1u * x * y)
TG_INTEGER_BINARY(maximum, TG_INTEGERS, true, x < y ? y : x)
TG_INTEGER_BINARY(minimum, TG_INTEGERS, true, x > y ? y : x)
TG_INTEGER_BINARY(bitwise_and, "bool " TG_INTEGERS, false, x & y)
TG_INTEGER_BINARY(bitwise_or, "bool " TG_INTEGERS, false, x | y)
TG_INTEGER_BINARY(bitwise_xor, "bool " TG_INTEGERS, false, x ^ y)
TG_KERNEL(logical_and, "cuda/integers", "bool", bitwise_and_map)
TG_KERNEL(logical_or, "cuda/integers", "bool", bitwise_or_map)
TG_KERNEL(logical_xor, "cuda/integers", "bool", bitwise_xor_map)

TG_FORMULA(not_formula, 0, (T x), T(x == 0))
void logical_not(Array& y, const Array& a) { map_integers<not_formula, false>("logical_not", y, {&a}); }
TG_KERNEL(logical_not, "cuda/integers", "bool", logical_not)

TG_FORMULA(where_formula, 0, (T c, T x, T y), c ? x : y)
void where(Array& z, const Array& condition, const Array& a, const Array& b) {
    const auto choose = [&]<class S>() { run<S, uint8_t, S>(layout_of<S>("where", z, {&condition, &a, &b}), where_formula<S>{}); };
    switch (z.dtype) {
        case DType::float64: return choose.operator()<uint64_t>();
        case DType::float32: return choose.operator()<uint32_t>();
        case DType::float16: case DType::bfloat16: return choose.operator()<uint16_t>();
        default: by_integer<false>(z.dtype, "where", choose);
    }
}
TG_KERNEL(select_where, "cuda/vectorized", TG_FLOATS " bool " TG_INTEGERS, where)

}  // namespace tg::pointwise::integers
