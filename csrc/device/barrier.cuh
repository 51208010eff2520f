// Named barriers: some of a block's warps meet, as all do in __syncthreads. sm_70.
#pragma once
#include "../gpu.h"

namespace tg::device {

// Barriers 1 to 15 are free (0 is __syncthreads); `threads` is a multiple of 32 and the same for all who come.
__device__ __forceinline__ void named_barrier_sync(unsigned id, unsigned threads AT_CALLER) {
#ifdef TG_EMULATED
    emu::sync_named(id, threads, at);
#else
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

// Comes without waiting: those who wait at the barrier go on when all have come.
__device__ __forceinline__ void named_barrier_arrive(unsigned id, unsigned threads AT_CALLER) {
#ifdef TG_EMULATED
    emu::arrive_named(id, threads, at);
#else
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

}  // namespace tg::device
