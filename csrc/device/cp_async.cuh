// cp.async: copies from global to shared memory that do not pass through registers. sm_80.
//
// A thread's copies form groups: `cp_async_commit` closes one, `cp_async_wait<N>` waits until at most N of the latest are under
// way. The copies are then visible to the thread that made them; others need a barrier after its wait.
#pragma once
#include "../gpu.h"

namespace tg::device {

// 16 bytes, the first `filled` of them from `from` and zeros after. Both addresses are multiples of 16.
__device__ __forceinline__ void cp_async_16(void* to, const void* from, unsigned filled AT_CALLER) {
#ifdef TG_EMULATED
    emu::cp_async(to, from, 16, filled, at);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(unsigned(__cvta_generic_to_shared(to))), "l"(from), "r"(filled)
                 : "memory");
#endif
}

// 4 bytes, or zero where `filled` is 0. Both addresses are multiples of 4.
__device__ __forceinline__ void cp_async_4(void* to, const void* from, unsigned filled AT_CALLER) {
#ifdef TG_EMULATED
    emu::cp_async(to, from, 4, filled, at);
#else
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(unsigned(__cvta_generic_to_shared(to))), "l"(from), "r"(filled)
                 : "memory");
#endif
}

__device__ __forceinline__ void cp_async_commit() {
#ifdef TG_EMULATED
    emu::cp_async_commit();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int PENDING> __device__ __forceinline__ void cp_async_wait() {
#ifdef TG_EMULATED
    emu::cp_async_wait(PENDING);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
#endif
}

}  // namespace tg::device
