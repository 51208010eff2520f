// What the emulator tells the lab: what a kernel runs, what it touches, what orders its threads. In a build without TG_LAB nothing.
//
// Every function speaks of the thread that runs now. An emulated instruction reports itself (`instruction`), the memory it touches
// in the place of its kernel (`load`, `store`, `atomic`, or one of its own), and how it orders threads.
#pragma once
#include "runtime.h"

namespace emu::record {

enum class Kind : uint8_t {
    barrier, named_barrier, cluster_barrier, syncwarp, shuffle, vote, ldmatrix, mma, wgmma, cp_async, tma_load, tma_store,
    mbarrier_arrive, mbarrier_wait, fence
};

struct Launch {
    const void* kernel;
    dim3 grid, block, cluster;
    size_t dynamic_shared;
};

#ifdef TG_LAB

bool recording();
void launch_begins(const Launch& launch);
void launch_ends(bool failed);
void block_begins(unsigned rank);  // in its cluster; those of a cluster begin in order
void block_runs(unsigned rank);    // from here on, until another does
void block_ends();
void thread_ends();

void instruction(Kind kind, Site at);

// ---- barriers: each arrival publishes what its thread knows; those who wait learn it when the barrier opens
void arrives(unsigned barrier, bool waits);
void opens(unsigned barrier);
void cluster_arrives(Site at);
void cluster_opens();
void cluster_waited();
// A collective of these lanes, `all` that still run or some of them; only __syncwarp orders memory.
void warp_meets(unsigned warp, unsigned lanes, bool all, bool orders);
void warpgroup_meets(unsigned group);
void fence(bool of_device);  // __threadfence, or __threadfence_block
void proxy_fence();          // fence.proxy.async

// ---- memory
void atomic(void* p, unsigned bytes, Site at);

void cluster_access(void* p, bool store, Site at);  // ld and st.shared::cluster, of 4 bytes

// ---- cp.async: the thread's own agent writes, in groups
void cp_async(void* to, const void* from, unsigned bytes, unsigned filled, Site at);
void cp_async_commit();
void cp_async_wait(unsigned pending);

// ---- ldmatrix: the row whose address this lane gives; its words go to other lanes
void ldmatrix(const void* row, bool transposed, Site at);

// ---- mbarriers, and TMA, which writes as the agent of the phase it signals
void mbarrier_init(const uint64_t* barrier, Site at);
void mbarrier_arrive(const uint64_t* barrier, Site at);
void mbarrier_completes(const uint64_t* barrier);
void mbarrier_waited(const uint64_t* barrier, Site at);
void tma_load(const uint64_t* barrier, Site at);
void tma_moves(void* shared, const void* global, unsigned bytes);  // a piece of the latest tma_load; global: null outside the matrix

// ---- TMA stores: one agent of the thread reads shared memory, another writes global memory, in groups
void tma_store(Site at);
void tma_stores(const void* shared, void* global, unsigned bytes);  // a piece of the latest tma_store; global: null outside the matrix
void tma_store_commit();
void tma_store_wait(unsigned pending, bool read_only);

// ---- wgmma: the warpgroup's own agent reads shared memory, reads registers and adds to registers, in groups
void wgmma_issues(unsigned group, Site at);
void wgmma_reads(const void* sixteen_bytes);  // of the latest wgmma
void wgmma_holds(unsigned group, unsigned thread, const void* registers, unsigned count);  // thread of the warpgroup
void wgmma_commit(unsigned group);
void wgmma_wait(unsigned group, unsigned pending);

#else

inline bool recording() { return false; }
inline void launch_begins(const Launch&) {}
inline void launch_ends(bool) {}
inline void block_begins(unsigned) {}
inline void block_runs(unsigned) {}
inline void block_ends() {}
inline void thread_ends() {}
inline void instruction(Kind, Site) {}
inline void arrives(unsigned, bool) {}
inline void opens(unsigned) {}
inline void cluster_arrives(Site) {}
inline void cluster_opens() {}
inline void cluster_waited() {}
inline void warp_meets(unsigned, unsigned, bool, bool) {}
inline void warpgroup_meets(unsigned) {}
inline void fence(bool) {}
inline void proxy_fence() {}
inline void atomic(void*, unsigned, Site) {}
inline void cluster_access(void*, bool, Site) {}
inline void cp_async(void*, const void*, unsigned, unsigned, Site) {}
inline void cp_async_commit() {}
inline void cp_async_wait(unsigned) {}
inline void ldmatrix(const void*, bool, Site) {}
inline void mbarrier_init(const uint64_t*, Site) {}
inline void mbarrier_arrive(const uint64_t*, Site) {}
inline void mbarrier_completes(const uint64_t*) {}
inline void mbarrier_waited(const uint64_t*, Site) {}
inline void tma_load(const uint64_t*, Site) {}
inline void tma_moves(void*, const void*, unsigned) {}
inline void tma_store(Site) {}
inline void tma_stores(const void*, void*, unsigned) {}
inline void tma_store_commit() {}
inline void tma_store_wait(unsigned, bool) {}
inline void wgmma_issues(unsigned, Site) {}
inline void wgmma_reads(const void*) {}
inline void wgmma_holds(unsigned, unsigned, const void*, unsigned) {}
inline void wgmma_commit(unsigned) {}
inline void wgmma_wait(unsigned, unsigned) {}

#endif

}  // namespace emu::record
