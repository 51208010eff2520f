// Thread-block clusters and the copy engine's work; shared by the emulator's own files.
//
// Each block of a cluster has an operating-system thread of its own, so that `__shared__` and the dynamic window are its own; a
// baton goes round and only the block that holds it runs. A block on its own is a cluster of one.
#pragma once
#include <atomic>

#include "block.h"
#include "instructions.h"

namespace emu {

struct Map {  // what the emulator keeps in a CUtensorMap
    uint64_t magic;
    char* data;
    uint64_t rows, columns, stride;
    unsigned item, box_rows, box_columns;
    bool rounds;  // fp32 elements to tf32, as they are loaded
};
constexpr uint64_t MAGIC = 0x74656e736f726d61;

// Calls each(shared, global, bytes) for the pieces of a box whose first element is (row, column); global is null outside the matrix.
// Shared memory has rows of 128 bytes, swizzled.
template <class F> void each_piece(const Map& map, Block& block, uint32_t base, int column, int row, F&& each) {
    constexpr unsigned CHUNK = 16;  // bytes the swizzle keeps together
    for (unsigned r = 0; r < map.box_rows; ++r) {
        const int64_t i = row + int64_t(r);
        const bool inside = i >= 0 && i < int64_t(map.rows);
        for (unsigned k = 0; k < 128; k += CHUNK) {
            const int64_t j = column + int64_t(k / map.item);
            auto* shared = static_cast<char*>(shared_pointer_in(block, swizzle_128(base + r * 128 + k)));
            char* const global = map.data + i * int64_t(map.stride) + j * map.item;
            if (inside && j >= 0 && j + int64_t(CHUNK / map.item) <= int64_t(map.columns)) {
                each(shared, global, CHUNK);
                continue;
            }
            for (unsigned e = 0; e < CHUNK; e += map.item) {
                const int64_t jj = j + int64_t(e / map.item);
                each(shared + e, inside && jj >= 0 && jj < int64_t(map.columns) ? global + e : nullptr, map.item);
            }
        }
    }
}

struct TileCopy {  // a TMA load on its way to one block
    Block* block;
    uint32_t to;
    Map map;
    int column, row;
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

Map tile_map(const CUtensorMap& opaque, const void* tile, Site at);  // of a copy from or to `tile`; a trap where it cannot be (hopper.cpp)
// The block that a shared::cluster address lies in; a trap where it has not begun or has ended.
Block& reachable(Cluster& c, unsigned rank, const char* what, Site at);
void* cluster_pointer(uint32_t address, unsigned bytes, const char* what, Site at);

}  // namespace emu
