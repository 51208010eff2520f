// The idea: one call of the mathematics library a formula, in full precision.
// Before it (arithmetic): formulas the CPU has vectors for; these it computes with NumPy.
// Ownership: as there; thread i owns elements VEC i to VEC i + VEC - 1, then those a whole grid further on.
// Bottleneck: bandwidth of memory in fp32, but for sine and cosine of large angles; arithmetic in fp64.
// Measure: python -m tensorgrad lab expm1 --kernel cuda/vectorized
#include "formulas.h"

namespace tg::pointwise {

#define TG_SCALAR_FUNCTION __device__ inline
#include "../../core/formulas/inverse_erf.h"

TG_UNARY(exp2, math::exp2<T>(x))
TG_UNARY(expm1, math::expm1<T>(x))
TG_UNARY(log1p, math::log1p<T>(x))
TG_UNARY(log2, math::log2<T>(x))
TG_UNARY(log10, math::log10<T>(x))
TG_UNARY(sin, math::sin<T>(x))
TG_UNARY(cos, math::cos<T>(x))
TG_UNARY(floor, math::floor<T>(x))
TG_UNARY(ceil, math::ceil<T>(x))
TG_UNARY(trunc, math::trunc<T>(x))
TG_UNARY(sign, x > T(0) ? T(1) : x < T(0) ? T(-1) : T(0))
TG_UNARY(erfinv, inverse_erf<T>(x))

}  // namespace tg::pointwise
