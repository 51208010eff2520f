// What kernels and the device wrappers call: the running thread, barriers, warp collectives, traps, shared addresses.
//
// A CUDA thread runs on a fiber; a block runs on one operating-system thread, one block at a time, so `__shared__` is
// `thread_local`. A function that may block takes the source line it was called from, for error messages.
#pragma once
#include <source_location>

#include "types.h"

namespace emu {

using Site = std::source_location;
#define EMU_HERE ::emu::Site at = ::emu::Site::current()

struct Block;
struct Warp;
struct CopyQueue;
struct StoreQueue;

struct Fiber {  // one CUDA thread while it runs
    void* sp = nullptr;
    Fiber* next = nullptr;
    uint3 thread{};
    unsigned linear = 0, lane = 0;
    Warp* warp = nullptr;
    Site at{};           // where it waits
    const char* doing = nullptr;  // what it waits for
    CopyQueue* copies = nullptr;
    StoreQueue* stores = nullptr;
    int arrived_phase = -1;  // of barrier.cluster, until it has waited
    char* stack = nullptr;
};

struct alignas(64) Current {  // of this operating-system thread
    Fiber* fiber;             // nullptr outside kernels
    uint3 block;
    dim3 block_dim, grid_dim;
    Block* running;  // its state
};
extern thread_local constinit Current current;

// ---- ending a kernel: the block is abandoned and the launch throws
[[noreturn]] void trap(const char* what, Site at);

// ---- barriers
void sync_block(Site at);
int sync_block_count(int predicate, Site at);
void sync_named(unsigned id, unsigned threads, Site at);    // bar.sync
void arrive_named(unsigned id, unsigned threads, Site at);  // bar.arrive

// ---- collectives: each thread leaves a pointer to its arguments; the last to arrive runs `run` on those of all
using WarpWork = void (*)(void** args, unsigned arrived);
void warp_collective(unsigned mask, const char* name, void* args, WarpWork run, Site at);
using GroupWork = void (*)(void** args, unsigned group);  // of the 128 threads of warpgroup number `group`
void warpgroup_collective(const char* name, void* args, GroupWork run, Site at);

// ---- waiting for an address (mbarrier)
void park(const void* address, Site at, const char* doing);
void wake(const void* address);

struct Shuffle {
    enum Kind { index, up, down, exclusive_or } kind;
    int lane, width;
    uint64_t in, out;
};
void shuffle(unsigned mask, Shuffle& s, Site at);
unsigned ballot(unsigned mask, bool predicate, Site at);

// ---- shared memory: 32-bit addresses as the hardware has them. Dynamic memory lies below 256 KiB, where descriptors reach.
void* dynamic_shared();
uint32_t shared_address(const void* p, Site at);
void* shared_pointer(uint32_t address);

// ---- launches
using Body = void (*)(void* arguments);
void run_grid(dim3 grid, dim3 cluster, dim3 block, size_t shared, Body body, void* arguments, const void* kernel);

struct Settings {
    unsigned seed = 0;   // 0: threads start in ascending order; else shuffled
    bool eager = false;  // asynchronous copies and products happen at once, not at the last legal moment
    int threads = 0;     // operating-system threads for blocks; 0: one per core
    int chip = 90;       // the compute capability the emulator claims to have, 90 for 9.0
};
extern Settings settings;

}  // namespace emu
