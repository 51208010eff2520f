// The idea: lanes exchange states by shuffles, without memory or barriers; loads are 16 bytes; long rows are shared by several blocks.
// Before it (v01): a tree in shared memory with a barrier a round. Sums of columns have a kernel whose lanes are columns.
// Ownership: rows: a warp (or, beyond 512 elements, a block) owns a result. Columns: lane l owns result l, a warp every eighth element.
// Bottleneck: bandwidth of memory. Several parts of one result cost a second launch; no atomics, so results never change.
// Measure: python -m tensorgrad lab sum --kernel cuda/v02_warp_shuffle
#include "warp_shuffle.h"

namespace tg::reduce {

TG_SUMS(WarpShuffle, "cuda/v02_warp_shuffle")

}  // namespace tg::reduce
