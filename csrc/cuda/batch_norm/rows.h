// What the rungs for rows of channels share.
#pragma once
#include "../../device/packs.cuh"
#include "groups.h"

namespace tg::batch_norm {

// For each of W channels the first element of its group, around which its sums run; `x` is the first row of the sample.
template <int W, class T> __device__ __forceinline__ void first_of_group(Wide<T> (&first)[W], const T* x, int c, int per) {
    if (per == 1) return device::read<W>(first, x + c);
#pragma unroll
    for (int i = 0; i < W; ++i) first[i] = i > 0 && (c + i) % per ? first[i - 1] : static_cast<Wide<T>>(x[(c + i) / per * per]);
}

}  // namespace tg::batch_norm
