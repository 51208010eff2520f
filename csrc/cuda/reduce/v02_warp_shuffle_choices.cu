// The idea: as v02_warp_shuffle, for states that choose: extrema with their places, any, all.
// Before it (v01): as there; a state of value and place goes through the shuffles as words of 32 bits.
// Ownership: as there; a warp or a block owns a result, or a lane a column.
// Bottleneck: bandwidth of memory.
// Measure: python -m tensorgrad lab argmax --kernel cuda/v02_warp_shuffle
#include "warp_shuffle.h"

namespace tg::reduce {

TG_CHOICES(WarpShuffle, "cuda/v02_warp_shuffle")

}  // namespace tg::reduce
