// Thread-block clusters and the copy engine's work; shared by the emulator's own files.
//
// Each block of a cluster has an operating-system thread of its own, so that `__shared__` and the dynamic window are its own; a
// baton goes round and only the block that holds it runs. A block on its own is a cluster of one.
#pragma once
#include <atomic>
#include <variant>

#include "instructions.h"
#include "tensor_map.h"

namespace emu {

struct TileCopy {  // a TMA load on its way to one block
    Block* block;
    uint32_t to;
    std::variant<MatrixBox, PixelBox> box;
    uint64_t* barrier;
    unsigned parity;  // of the phase it was issued in, which has to wait for it
    Site at;
};

constexpr unsigned MAX_CLUSTER = 8;  // blocks; what every chip with clusters runs
constexpr unsigned NOBODY = ~0u, ABANDONED = ~0u - 1;  // in the place of a rank

struct Cluster {
    unsigned size = 1;
    Block* blocks[MAX_CLUSTER] = {};
    unsigned arrived = 0, phase = 0;  // barrier.cluster: threads that have come, phases that are over
    std::vector<TileCopy> copies;
    std::atomic<unsigned> ready{0};         // blocks whose shared memory is prepared
    std::atomic<unsigned> holder{NOBODY};   // the rank of the block that has the baton; ABANDONED for good after a failure

    bool start(unsigned rank);  // of a prepared block: waits until it is its turn. False: the cluster was abandoned
    void pass(unsigned rank);          // gives the baton away
    bool wait_for_baton(unsigned rank);  // false: the cluster was abandoned
    unsigned next_runnable(unsigned rank) const;  // NOBODY if all wait
    unsigned alive() const;
    bool idle(Block& b);   // `b` cannot go on. True: now somebody can, and it is `b`'s turn to look again
    void leave(Block& b);  // `b` has ended or failed
};

void cluster_thread_ended(Block& b, Fiber* f);  // while others wait in barrier.cluster
bool finish_copies(Cluster& c);                 // does what TMA still has to do; false: nothing (hopper.cpp)
void check_no_copy_into(Block& b);              // at the end of a block (hopper.cpp)
std::string deadlock(const Cluster& c);         // scheduler.cpp

// The block that a shared::cluster address lies in; a trap where it has not begun or has ended.
Block& reachable(Cluster& c, unsigned rank, const char* what, Site at);
void* cluster_pointer(uint32_t address, unsigned bytes, const char* what, Site at);

}  // namespace emu
