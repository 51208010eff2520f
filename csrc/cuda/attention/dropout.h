// Dropout: which weights are kept depends on where they stand alone, so that every kernel, whatever its tiles, drops the same ones, and
// the backward pass draws them again. The weight of query i and key j is kept where word j % 4 of Philox's block
// first + number(b, h, i) ceil(keys / 4) + j / 4 is at most `last`.
//
// Lanes that hold four neighbouring keys between them share out their blocks, and tell each other what they found, four bits a block.
// Where there is no dropout, everything is kept. A loop over blocks is unrolled twice: ten rounds of one block wait for each other.
#pragma once
#include "../../device/philox.cuh"

namespace tg::attention {

// What a call says of dropout: words below `limit`, from 0 to 2^32, keep; what is kept is multiplied by `factor`, 1 without dropout.
struct Draw {
    int64_t seed, first_block, limit;
    double factor;
};

struct Dropout {
    uint64_t seed, first;
    int64_t blocks;  // of a query
    unsigned last;   // the largest word that keeps
    bool on;

    Dropout() = default;
    Dropout(const Draw& d, int64_t keys)
        : seed(uint64_t(d.seed)), first(uint64_t(d.first_block)), blocks((keys + 3) / 4), last(unsigned(d.limit ? d.limit - 1 : 0)),
          on(d.factor != 1) {}

    // Whether keys 4 n to 4 n + 3 of a query are kept, as bits 0 to 3.
    __device__ unsigned four(int64_t number_of_query, int n) const {
        const uint4 word = device::philox<2>(seed, first + uint64_t(number_of_query * blocks + n));
        return unsigned(word.x <= last) | unsigned(word.y <= last) << 1 | unsigned(word.z <= last) << 2 | unsigned(word.w <= last) << 3;
    }
};

// Of scores as tensor cores leave them, queries being rows: lane 4 g + t holds rows g and g + 8 (e / 2), columns 8 n + 2 t + e % 2.
// Lanes t and t ^ 1 hold the halves of the same two blocks: the even one draws row g's, the odd one row g + 8's.
template <int N> struct KeptByRow {
    static constexpr int WORDS = (N + 63) / 64, LOOP = N < 64 ? N / 8 : 8;
    unsigned of[2][WORDS];

    template <class P> __device__ KeptByRow(const P& p, int b, int h, int row, int key) {  // the lane's first row; the first key
        const int lane = int(threadIdx.x) % 32, odd = lane % 2;
#pragma unroll
        for (int w = 0; w < WORDS; ++w) {
            unsigned mine = 0;
#pragma unroll 2
            for (int n = 0; n < LOOP; ++n)
                mine |= p.dropout.four(p.number(b, h, row + odd * 8), key / 4 + (w * 8 + n) * 2 + lane % 4 / 2) << 4 * n;
            const unsigned other = __shfl_xor_sync(~0u, mine, 1);
            of[0][w] = (odd ? other : mine) >> 2 * odd;
            of[1][w] = (odd ? mine : other) >> 2 * odd;
        }
    }
    __device__ bool at(int n, int e) const { return of[e / 2][n / 8] >> (n % 8 * 4 + e % 2) & 1; }
};

// The same with keys as rows and queries as columns. Four lanes, of rows 4 a to 4 a + 3, share blocks of two rows and two columns.
template <int N> struct KeptByColumn {
    unsigned of[N / 16];

    template <class P> __device__ void draw(const P& p, int b, int h, int query, int row) {  // the first query; the lane's first row
        const int lane = int(threadIdx.x) % 32, which = lane / 4 % 4, column = query + lane % 4 * 2 + which % 2;
#pragma unroll
        for (int w = 0; w < N / 16; ++w) {
            unsigned bits = 0;
#pragma unroll
            for (int n = 0; n < 2; ++n)
                bits |= p.dropout.four(p.number(b, h, column + (2 * w + n) * 8), row / 4 + which / 2 * 2) << 4 * n;
            bits <<= 8 * which;
            bits |= __shfl_xor_sync(~0u, bits, 4);
            bits |= __shfl_xor_sync(~0u, bits, 8);
            of[w] = bits >> which;
        }
    }
    __device__ bool at(int n, int e) const { return of[n / 2] >> (8 * e + n % 2 * 4) & 1; }
};

// Weights rounded to 16 bits, two in a register as the tensor cores take them: those that are not kept become zeros.
template <int K, class Kept> __device__ __forceinline__ void drop(unsigned (&weights)[K][4], const Kept& kept) {
#pragma unroll
    for (int n = 0; n < 2 * K; ++n)
#pragma unroll
        for (int half = 0; half < 2; ++half)
            weights[n / 2][n % 2 * 2 + half] &= (kept.at(n, 2 * half) ? 0xFFFFu : 0u) | (kept.at(n, 2 * half + 1) ? 0xFFFF0000u : 0u);
}

// The same of numbers that are not rounded yet.
template <int K, class Kept> __device__ __forceinline__ void drop(float (&s)[K][4], const Kept& kept) {
#pragma unroll
    for (int n = 0; n < K; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) s[n][e] = kept.at(n, e) ? s[n][e] : 0.0f;
}

// Of the tiles of flash_tile.h: thread (y, x) holds rows R y + i, columns x + 16 j. Four lanes, of x = 4 a to 4 a + 3, share R R blocks.
template <class Tile> struct FlashKeptByRow {
    static constexpr int R = Tile::R, WORDS = (R * R + 7) / 8;
    unsigned of[WORDS];

    template <class P> __device__ FlashKeptByRow(const P& p, const Tile& tile, int b, int h, int query, int key) {
#pragma unroll
        for (int w = 0; w < WORDS; ++w) of[w] = ~0u;
        if (!p.dropout.on) return;
        const int which = tile.x % 4;
#pragma unroll
        for (int w = 0; w < WORDS; ++w) {
            unsigned bits = 0;
#pragma unroll 1
            for (int at = w * 8; at < w * 8 + 8 && at < R * R; at += 4) {
                const int i = (at + which) % R, j = (at + which) / R;
                bits |= p.dropout.four(p.number(b, h, query + tile.row(i)), (key + tile.column(j)) / 4) << (at % 8 + which) * 4;
            }
            bits |= __shfl_xor_sync(~0u, bits, 1);
            bits |= __shfl_xor_sync(~0u, bits, 2);
            of[w] = bits >> which;
        }
    }
    __device__ bool at(int i, int j) const { return of[(j * R + i) / 8] >> (j * R + i) % 8 * 4 & 1; }
};

// The same with keys as rows and queries as columns: a thread's rows are four keys, or half of them, the other half 16 lanes away.
template <class Tile> struct FlashKeptByColumn {
    static constexpr int R = Tile::R, LANES = 4 / R;
    unsigned of = ~0u;

    template <class P> __device__ FlashKeptByColumn(const P& p, const Tile& tile, int b, int h, int query, int key) {
        if (!p.dropout.on) return;
        const int which = tile.y % LANES;
        unsigned bits = 0;
#pragma unroll
        for (int j = 0; j < R; j += LANES)
            bits |= p.dropout.four(p.number(b, h, query + tile.column(j + which)), (key + tile.row(0)) / 4) << (j + which) * 4;
        if (LANES == 2) bits |= __shfl_xor_sync(~0u, bits, 16);
        of = bits >> which * R;
    }
    __device__ bool at(int i, int j) const { return of >> (j * 4 + i) & 1; }
};

}  // namespace tg::attention
