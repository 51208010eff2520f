// What a kernel draws of a stream of random numbers, be it called or replayed.
#pragma once
#include "../gpu.h"

namespace tg::device {

// Which part of which stream a kernel draws: a seed and a first block. A graph repeats a launch's arguments, but is to draw new numbers: its
// kernels are told the address where seed and block lie when they run, and ~offset from that block, which is negative.
struct Stretch {
    uint64_t seed, first;
    __device__ Stretch(uint64_t given, int64_t block) : seed(given), first(uint64_t(block)) {
        if (block >= 0) return;
        const uint64_t* at = reinterpret_cast<const uint64_t*>(given);
        seed = at[0];
        first = at[1] + uint64_t(~block);
    }
};

}  // namespace tg::device
