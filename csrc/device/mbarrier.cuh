// mbarrier: a barrier in shared memory that counts arrivals and the bytes of asynchronous copies. sm_90.
//
// It goes through phases of alternating parity, the first being 0. A phase ends when `count` arrivals have come and all expected
// bytes. `mbarrier_wait(b, parity)` returns when the phase of that parity has ended; on a fresh barrier the wait for parity 1 returns
// at once.
#pragma once
#include "../gpu.h"

namespace tg::device {

#ifndef TG_EMULATED
__device__ __forceinline__ unsigned shared_of(const void* p) { return unsigned(__cvta_generic_to_shared(p)); }
#endif

__device__ __forceinline__ void mbarrier_init(uint64_t* barrier, unsigned count AT_CALLER) {
#ifdef TG_EMULATED
    emu::mbarrier_init(barrier, count, at);
#else
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_of(barrier)), "r"(count) : "memory");
#endif
}

// Makes initialised barriers visible to asynchronous copies; a __syncthreads makes them visible to the other threads.
__device__ __forceinline__ void fence_mbarrier_init() {
#ifndef TG_EMULATED
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

__device__ __forceinline__ void mbarrier_arrive(uint64_t* barrier AT_CALLER) {
#ifdef TG_EMULATED
    emu::mbarrier_arrive(barrier, at);
#else
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_of(barrier)) : "memory");
#endif
}

// Arrives, and adds to the bytes that this phase waits for.
__device__ __forceinline__ void mbarrier_arrive_expect(uint64_t* barrier, unsigned bytes AT_CALLER) {
#ifdef TG_EMULATED
    emu::mbarrier_arrive_expect(barrier, bytes, at);
#else
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_of(barrier)), "r"(bytes) : "memory");
#endif
}

__device__ __forceinline__ void mbarrier_wait(uint64_t* barrier, unsigned parity AT_CALLER) {
#ifdef TG_EMULATED
    emu::mbarrier_wait(barrier, parity, at);
#else
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "AGAIN_%=:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra AGAIN_%=;\n"
        "}" ::"r"(shared_of(barrier)), "r"(parity)
        : "memory");
#endif
}

}  // namespace tg::device
