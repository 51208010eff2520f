// Many arrays in one launch: where they lie travels as the kernel's argument, and a block finds there which piece of which array is its own.
//
// All arrays together are cut into chunks, an array into as many as it needs. Block b has chunk b: a search among the numbers of the
// arrays' first chunks tells whose it is. A table is a launch's argument rather than an array in memory, which somebody would have to
// fill and keep until the launch is over. Arguments of more than 4 KiB (up to 32) take CUDA 12.1 and a driver of its time (530) or newer.
#pragma once
#include "elements.h"

namespace tg::optimizer {

constexpr int ROUNDS = 4;  // packs of 16 bytes of the smallest dtype that a thread of a chunk takes

// SLOTS arrays of equal length, as parameter, gradient and state are, for each of at most MOST entries.
template <int SLOTS> struct Table {
    static constexpr int MOST = 192;  // the largest table is then 12 KiB
    void* at[SLOTS][MOST];
    int64_t size[MOST];
    unsigned first[MOST + 1];  // chunk; the one after the last
    bool packed[MOST];         // all arrays of the entry start at a multiple of 16 bytes
    int count = 0;
};

struct Chunk {
    int entry;
    int64_t begin;
    int length;
};

template <int LENGTH, int SLOTS> __device__ __forceinline__ Chunk chunk_of(const Table<SLOTS>& table) {
    int low = 0, high = table.count;  // first[low] <= blockIdx.x < first[high]
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (table.first[middle] <= blockIdx.x) low = middle;
        else high = middle;
    }
    const int64_t begin = int64_t(blockIdx.x - table.first[low]) * LENGTH, left = table.size[low] - begin;
    return {low, begin, left < LENGTH ? int(left) : LENGTH};
}

// Calls use(table, blocks) for tables that cover all entries; most calls need one. place(k, slot) is the address of entry k's array,
// size(k) its length, LENGTH the elements of a chunk.
template <int SLOTS, int LENGTH, class Size, class Place, class Use> void with_tables(int64_t count, Size&& size, Place&& place, Use&& use) {
    Table<SLOTS> table;
    table.first[0] = 0;
    const auto flush = [&] {
        if (table.count) use(table, table.first[table.count]);
        table.count = 0;
    };
    for (int64_t k = 0; k < count; ++k) {
        const int64_t n = size(k), chunks = (n + LENGTH - 1) / LENGTH;
        if (n == 0) continue;
        if (chunks > 0x7fffffff) throw std::invalid_argument("an array of " + std::to_string(n) + " elements has more chunks than a grid has blocks");
        if (table.count == Table<SLOTS>::MOST || chunks + table.first[table.count] > 0x7fffffff) flush();
        const int e = table.count++;
        table.size[e] = n;
        table.first[e + 1] = unsigned(table.first[e] + chunks);
        table.packed[e] = true;
        for (int slot = 0; slot < SLOTS; ++slot) {
            table.at[slot][e] = place(k, slot);
            table.packed[e] = table.packed[e] && device::aligned_16(table.at[slot][e]);
        }
    }
    flush();
}

}  // namespace tg::optimizer
