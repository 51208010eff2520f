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
#define TG_SCALAR_FUNCTION inline
#include "../core/formulas/inverse_erf.h"

TG_UNARY(erfinv, simd::lanes<T>(x, [](T v) { return inverse_erf<T>(v); }))

}  // namespace
}  // namespace tg
