// Philox 4x32-10, the bits of csrc/core/philox.h: the four words of a block, for whichever thread asks.
#pragma once
#include "../gpu.h"

namespace tg::device {

// UNROLL rounds at a time. With all ten a loop over blocks keeps the keys of the rounds in registers, twenty of them.
template <int UNROLL = 10> __device__ inline uint4 philox(uint64_t seed, uint64_t block) {
    unsigned c0 = unsigned(block), c1 = unsigned(block >> 32), c2 = 0, c3 = 0, k0 = unsigned(seed), k1 = unsigned(seed >> 32);
#pragma unroll UNROLL
    for (int round = 0; round < 10; ++round) {
        const uint64_t a = uint64_t(c0) * 0xD2511F53u, b = uint64_t(c2) * 0xCD9E8D57u;
        c0 = unsigned(b >> 32) ^ c1 ^ k0;
        c2 = unsigned(a >> 32) ^ c3 ^ k1;
        c1 = unsigned(b);
        c3 = unsigned(a);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return make_uint4(c0, c1, c2, c3);
}

}  // namespace tg::device
