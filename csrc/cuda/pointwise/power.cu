// The idea: x^y from the mathematics library, and the exponents met most as the product or root they are.
// Before it (functions): the same for functions of one number.
// Ownership: as there; thread i owns elements VEC i to VEC i + VEC - 1, then those a whole grid further on.
// Bottleneck: arithmetic; a power is a logarithm in twice the precision and an exponential.
// Measure: python -m tensorgrad lab pow --kernel cuda/vectorized
#include "formulas.h"

namespace tg::pointwise {

TG_BINARY(pow, y == T(2) ? x * x : y == T(3) ? x * x * x : y == T(0.5) && x > T(0) ? math::sqrt<T>(x) : T(std::pow(x, y)))

}  // namespace tg::pointwise
