// Philox 4x32-10: random bits as a function of (seed, block), four 32-bit words a block.
// A counter goes through ten rounds of two 32 x 32 -> 64 bit products; nothing depends on another block, so that any thread
// makes any part of a stream. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#include <cmath>
#include <cstring>

#include "../core/registry.h"

namespace tg {
namespace {

constexpr int LANES = 16;                    // blocks worked on side by side
constexpr int64_t SERIAL_BELOW = 1 << 14;    // blocks; fewer are not worth waking threads for

struct Key {
    uint32_t low, high;
    explicit Key(int64_t seed) : low(uint32_t(uint64_t(seed))), high(uint32_t(uint64_t(seed) >> 32)) {}
};

// words[w][lane] = word w of block `first + lane`.
inline void philox_lanes(Key key, uint64_t first, uint32_t words[4][LANES]) {
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
    for (int i = 0; i < LANES; ++i) {
        const uint64_t block = first + uint64_t(i);
        c0[i] = uint32_t(block);
        c1[i] = uint32_t(block >> 32);
        c2[i] = c3[i] = 0;
    }
    uint32_t k0 = key.low, k1 = key.high;
    for (int round = 0; round < 10; ++round) {
#pragma omp simd
        for (int i = 0; i < LANES; ++i) {
            const uint64_t a = uint64_t(0xD2511F53u) * c0[i], b = uint64_t(0xCD9E8D57u) * c2[i];
            const uint32_t n0 = uint32_t(b >> 32) ^ c1[i] ^ k0, n2 = uint32_t(a >> 32) ^ c3[i] ^ k1;
            c1[i] = uint32_t(b);
            c3[i] = uint32_t(a);
            c0[i] = n0;
            c2[i] = n2;
        }
        k0 += 0x9E3779B9u;  // the golden ratio
        k1 += 0xBB67AE85u;  // sqrt(3) - 1
    }
    std::memcpy(words[0], c0, sizeof c0);
    std::memcpy(words[1], c1, sizeof c1);
    std::memcpy(words[2], c2, sizeof c2);
    std::memcpy(words[3], c3, sizeof c3);
}

void philox(Array& out, int64_t seed, int64_t first_block) {
    const int64_t n = out.size(), blocks = (n + 3) / 4;
    const Key key(seed);
    auto* y = out.ptr<uint32_t>();
#pragma omp parallel for schedule(static) if (blocks >= SERIAL_BELOW)
    for (int64_t b = 0; b < blocks; b += LANES) {
        uint32_t words[4][LANES], row[4 * LANES];
        philox_lanes(key, uint64_t(first_block) + uint64_t(b), words);
        for (int i = 0; i < LANES; ++i)
            for (int w = 0; w < 4; ++w) row[4 * i + w] = words[w][i];
        const int64_t left = n - 4 * b;
        std::memcpy(y + 4 * b, row, sizeof(uint32_t) * size_t(left < 4 * LANES ? left : 4 * LANES));
    }
}
TG_KERNEL(philox, "cpu/rounds", "int32", philox)

}  // namespace
}  // namespace tg
