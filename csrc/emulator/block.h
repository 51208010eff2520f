// The state of the block an operating-system thread is running; shared by the emulator's own files.
#pragma once
#include <string>
#include <vector>

#include "runtime.h"

namespace emu {

struct Queue {
    Fiber *head = nullptr, *tail = nullptr;
    void push(Fiber* f) {
        f->next = nullptr;
        (tail ? tail->next : head) = f;
        tail = f;
    }
    Fiber* pop() {
        Fiber* f = head;
        if (f && !(head = f->next)) tail = nullptr;
        return f;
    }
    void append(Queue& other) {
        if (!other.head) return;
        (tail ? tail->next : head) = other.head;
        tail = other.tail;
        other = {};
    }
};

struct Barrier {
    Queue waiting;
    unsigned arrived = 0, expected = 0;
    int sum = 0;
    Site at{};  // of the first to arrive
};

struct Meeting {  // lanes of one mask on their way into a warp collective
    unsigned mask = 0, arrived = 0;
    const char* name = nullptr;
    WarpWork run = nullptr;
    Fiber* fibers[32];
    void* args[32];
};

struct Warp {
    unsigned full = 0, alive = 0;
    Meeting meetings[4];  // disjoint masks may meet at the same time
};

struct Group {  // threads of a warpgroup on their way into a collective
    const char* name = nullptr;
    GroupWork run = nullptr;
    unsigned arrived = 0;
    Queue waiting;
    void* args[128];
};

struct Parked {
    Fiber* fiber;
    const void* address;
};

struct Failure {
    std::string what;
    Site at{};
    uintptr_t pc = 0;  // where the source line is not known: the instruction
    uint3 block{}, thread{};
    bool in_thread = true;
};

struct Start {  // the thread that starts n-th
    uint3 thread;
    unsigned linear;
};

constexpr unsigned MAX_THREADS = 1024;
constexpr size_t STACK = 64 * 1024;

struct Cluster;
struct Window;

struct FiberPool {
    std::vector<Fiber*> fibers;
    size_t used = 0;
};

struct Block {
    unsigned threads = 0, started = 0, alive = 0;
    bool blocked = false;  // some thread had to wait
    bool failed = false;
    int count = 0;  // result of __syncthreads_count
    Queue ready;
    Fiber scheduler;
    Barrier barriers[16];
    Group groups[MAX_THREADS / 128];
    Warp warps[MAX_THREADS / 32];
    std::vector<Parked> parked;
    Body body = nullptr;
    void* arguments = nullptr;
    Failure failure;
    FiberPool pool;
    Start order[MAX_THREADS];
    Cluster* cluster = nullptr;
    unsigned rank = 0;           // in its cluster
    uint3 index{};
    Window* window = nullptr;    // of shared memory
    Queue cluster_waiting;       // threads in barrier.cluster

    void prepare(dim3 block_dim, Body body, void* arguments);
    void begin(Cluster& cluster, unsigned rank, unsigned linear);
    bool run();  // false: it failed
    bool runnable() const { return ready.head || started < threads; }
};

Block& this_block();                      // of this operating-system thread
[[noreturn]] void fail(Failure failure);  // from inside a kernel
void complain(const char* what, Site at);  // the same, also while no thread runs: then it returns
void suspend(const char* doing, Site at);

// ---- asynchronous work (async.cpp)
struct Copy {  // a cp.async on its way
    void* to;
    const void* from;
    unsigned bytes, filled;  // of 4, 8 or 16; the rest becomes zero
};
struct CopyQueue {  // of a thread
    std::vector<Copy> copies;
    std::vector<size_t> groups;  // where each committed group ends
};
void reset_wgmma();  // at the start of a block (wgmma.cpp)

// ---- TMA stores of a thread (tma_store.cpp)
void clear_stores(Fiber* f);
void end_stores(Fiber* f);  // the thread returns

constexpr uint32_t swizzle_128(uint32_t address) { return address ^ (address >> 7 & 7) << 4; }

// ---- shared memory (shared.cpp)
void* shared_pointer_in(Block& b, uint32_t address);
bool holds(const Block& b, uint32_t address, size_t bytes);  // lies in the block's dynamic memory or its static arrays
void poison_shared(const void* kernel, size_t dynamic_bytes);
bool is_shared(const void* p);
struct SharedMemory {  // of this operating-system thread: the window of dynamic memory, and what lies around the static arrays
    const char *window, *statics;
    size_t window_bytes, statics_bytes;
    size_t statics_address;  // as Symbol::address
};
SharedMemory shared_memory();
void learn_shared(const void* kernel);  // after a block: which static arrays the kernel touches
size_t static_shared(const void* kernel);  // their bytes

// ---- faults (faults.cpp)
void install_fault_handler();
void watch_this_thread();  // gives the thread a stack for signal handlers

// ---- symbols.cpp: this module's symbol table and line numbers
struct Symbol {
    std::string name;
    size_t address, size;
};
std::string kernel_name(const void* function);
const std::vector<Symbol>& shared_arrays();  // `__shared__` variables; addresses are offsets in the thread-local block
std::string source_line(uintptr_t pc);       // "file:line", or "" where that is not known

}  // namespace emu
