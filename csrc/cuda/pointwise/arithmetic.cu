// The idea: memory is all that counts; a thread loads 16 bytes of each operand, computes in registers, stores 16 bytes.
// Before it: nothing; the formulas are those of the CPU kernels (csrc/core/formulas), the map is map.h.
// Ownership: thread i owns elements VEC i to VEC i + VEC - 1, then those a whole grid further on.
// Bottleneck: bandwidth of memory; an operand that is transposed costs a sector an element.
// Measure: python -m tensorgrad lab add --kernel cuda/vectorized
#include "formulas.h"

namespace tg::pointwise {

#include "../../core/formulas/arithmetic.h"

}  // namespace tg::pointwise
