// Philox 4x32-10: random bits as a function of (seed, block), four 32-bit words a block.
// A counter goes through ten rounds of two 32 x 32 -> 64 bit products; nothing depends on another block, so that any thread
// makes any part of a stream. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace tg::philox {

constexpr int LANES = 16;         // blocks made side by side
constexpr int WORDS = 4 * LANES;  // what they hold

#if defined(__AVX512F__)
constexpr int BYTES = 64;
#elif defined(__AVX2__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif
constexpr int WIDE = BYTES / 8;
typedef uint64_t Wide __attribute__((vector_size(BYTES)));  // a 32-bit value in the low half of each lane; the high half is noise

// The product of the low halves. Compilers do not see that 32 bits count and multiply 64.
inline Wide multiply(Wide a, Wide b) {
#if defined(__AVX512F__)
    return Wide(_mm512_maskz_mul_epu32(0xFF, __m512i(a), __m512i(b)));
#elif defined(__AVX2__)
    return Wide(_mm256_mul_epu32(__m256i(a), __m256i(b)));
#elif defined(__SSE2__)
    return Wide(_mm_mul_epu32(__m128i(a), __m128i(b)));
#else
    return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
#endif
}

// The four words of the blocks with these numbers, each in the low half of a lane.
inline void rounds(uint64_t seed, Wide numbers, Wide (&c)[4]) {
    const Wide none{}, m0 = none + uint64_t(0xD2511F53u), m1 = none + uint64_t(0xCD9E8D57u);
    Wide c0 = numbers, c1 = numbers >> 32, c2 = none, c3 = none;
    uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const Wide a = multiply(c0, m0), b = multiply(c2, m1);
        c0 = (b >> 32) ^ c1 ^ uint64_t(k0);
        c2 = (a >> 32) ^ c3 ^ uint64_t(k1);
        c1 = b;
        c3 = a;
        k0 += 0x9E3779B9u;  // the golden ratio
        k1 += 0xBB67AE85u;  // sqrt(3) - 1
    }
    c[0] = c0, c[1] = c1, c[2] = c2, c[3] = c3;
}

// out[4 i + w] = word w of block `first + i`, for LANES blocks.
inline void words(uint64_t seed, uint64_t first, uint32_t* __restrict out) {
    for (int group = 0; group < LANES; group += WIDE) {
        Wide numbers{}, c[4];
        for (int i = 0; i < WIDE; ++i) numbers[i] = first + uint64_t(group + i);
        rounds(seed, numbers, c);
        // Words 0 and 1, then 2 and 3 of each block; read as little-endian pairs.
        const Wide low = Wide{} + uint64_t(0xFFFFFFFFu), first_pair = (c[0] & low) | (c[1] << 32), second_pair = (c[2] & low) | (c[3] << 32);
        uint64_t pairs[2 * WIDE];
        for (int i = 0; i < WIDE; ++i) {
            pairs[2 * i] = first_pair[i];
            pairs[2 * i + 1] = second_pair[i];
        }
        std::memcpy(out + 4 * group, pairs, sizeof pairs);
    }
}

// out[w LANES + i] = word w of block `first + i step`, for LANES blocks: words of one number lie together.
inline void columns(uint64_t seed, uint64_t first, uint64_t step, uint32_t* __restrict out) {
    typedef uint32_t Narrow __attribute__((vector_size(BYTES / 2)));
    for (int group = 0; group < LANES; group += WIDE) {
        Wide numbers{}, c[4];
        for (int i = 0; i < WIDE; ++i) numbers[i] = first + uint64_t(group + i) * step;
        rounds(seed, numbers, c);
        for (int w = 0; w < 4; ++w) {
            const Narrow narrow = __builtin_convertvector(c[w], Narrow);
            std::memcpy(out + w * LANES + group, &narrow, sizeof narrow);
        }
    }
}

}  // namespace tg::philox
