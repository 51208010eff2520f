// Thread-block clusters: blocks that run at the same time, next to each other, and reach each other's shared memory. sm_90.
//
// An address in another block's shared memory is 32 bits, made by `map_to_rank` from one's own address of the same thing. It may be
// used from the first cluster barrier, which every block has begun by, until the last before the other block ends.
#pragma once
#include "mbarrier.cuh"

namespace tg::device {

__device__ __forceinline__ unsigned cluster_rank() {
#ifdef TG_EMULATED
    return emu::cluster_rank();
#else
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
#endif
}

__device__ __forceinline__ unsigned cluster_size() {
#ifdef TG_EMULATED
    return emu::cluster_size();
#else
    unsigned size;
    asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
    return size;
#endif
}

// The barrier of all threads of the cluster, in two halves. What a thread did before its arrival is seen by all after their wait.
__device__ __forceinline__ void cluster_arrive(AT_CALLER_ONLY) {
#ifdef TG_EMULATED
    emu::cluster_arrive(at);
#else
    asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
}
__device__ __forceinline__ void cluster_wait(AT_CALLER_ONLY) {
#ifdef TG_EMULATED
    emu::cluster_wait(at);
#else
    asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#endif
}

// The address of the same thing in the shared memory of block `rank`.
__device__ __forceinline__ unsigned map_to_rank(const void* p, unsigned rank AT_CALLER) {
#ifdef TG_EMULATED
    return emu::map_to_rank(p, rank, at);
#else
    unsigned address;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared_of(p)), "r"(rank));
    return address;
#endif
}

__device__ __forceinline__ unsigned load_cluster(unsigned address AT_CALLER) {
#ifdef TG_EMULATED
    return emu::load_cluster(address, at);
#else
    unsigned value;
    asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(value) : "r"(address) : "memory");
    return value;
#endif
}

__device__ __forceinline__ void store_cluster(unsigned address, unsigned value AT_CALLER) {
#ifdef TG_EMULATED
    emu::store_cluster(address, value, at);
#else
    asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(address), "r"(value) : "memory");
#endif
}

// Arrives at another block's mbarrier; whoever waits there must use `mbarrier_wait_cluster`.
__device__ __forceinline__ void mbarrier_arrive_remote(unsigned address AT_CALLER) {
#ifdef TG_EMULATED
    emu::mbarrier_arrive_remote(address, at);
#else
    asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(address) : "memory");
#endif
}

// `mbarrier_wait` where threads of other blocks arrive: what they did before is seen after it.
__device__ __forceinline__ void mbarrier_wait_cluster(uint64_t* barrier, unsigned parity AT_CALLER) {
#ifdef TG_EMULATED
    emu::mbarrier_wait(barrier, parity, at);
#else
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "AGAIN_%=:\n"
        "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra AGAIN_%=;\n"
        "}" ::"r"(shared_of(barrier)), "r"(parity)
        : "memory");
#endif
}

}  // namespace tg::device
