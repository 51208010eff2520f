// What the persistent Hopper rungs share: how tiles come into shared memory and go out of it, and in which order they are computed.
//
// A tile of C is 128 x 256: two warpgroups of consumers with 64 rows each, 128 registers of sums a thread. A stage holds 128 rows of A
// and 256 of B, 64 k of each.
#pragma once
#include "../../device/barrier.cuh"
#include "epilogue.h"
#include "hopper_operands.h"

namespace tg::matmul {

namespace hopper {

constexpr int BM = 128, BN = 256, BK = 64, STAGES = 4, THREADS = 3 * 128, CONSUMER_WARPS = 8;
constexpr int BOX = 64 * BK;                          // elements of 64 rows or columns: 8 KiB, what the swizzle and the store work on
constexpr int TILE_A = 2 * BOX, TILE_B = 4 * BOX, STAGE = TILE_A + TILE_B;
constexpr int OUT_BOXES = 2;                          // of each consumer warpgroup: one is filled while the other is stored
constexpr size_t SHARED = (STAGES * STAGE + 2 * OUT_BOXES * BOX) * 2;

// Tiles are computed in groups of rows, a column of the group after the other: blocks that run at the same time share rows of A and
// columns of B in the L2 cache.
struct Raster {
    int rows, columns;  // counted in tiles
    static constexpr int GROUP = 8;

    __host__ __device__ int tiles() const { return rows * columns; }
    __device__ void place(int number, int& row, int& column) const {
        const int first = number / (GROUP * columns) * GROUP, in_group = number % (GROUP * columns);
        const int height = rows - first < GROUP ? rows - first : GROUP;
        row = first + in_group % height;
        column = in_group / height;
    }
};
inline Raster raster_of(int row_tiles, int column_tiles) {
    if (int64_t(row_tiles) * column_tiles > 0x7fffffff - 65536) throw std::invalid_argument("the result has more tiles than an int counts");
    return {row_tiles, column_tiles};
}

template <class T> struct alignas(4) Pair {
    T left, right;
};

// A warpgroup's 64 x 256 sums to C, from (row, column) on, through shared memory: boxes of 64 columns, each filled while the one
// before is stored. `stores` counts the boxes this warpgroup has stored so far.
template <class T, class E>
__device__ void store_boxes(const float (&sum)[128], const Problem<T>& p, const E& epilogue, const CUtensorMap& c_map, T* out, int row,
                            int column, int warpgroup, int thread, int& stores) {
    const int line = thread / 32 * 16 + thread % 32 / 4, pair = thread % 4 * 2;
#pragma unroll
    for (int box = 0; box < 4; ++box) {
        if (row >= p.M || column + box * 64 >= p.N) break;
        T* const buffer = out + stores++ % OUT_BOXES * BOX;
        if (thread == 0) device::tma_store_wait_read<OUT_BOXES - 1>();  // the store before the last has read this buffer
        device::named_barrier_sync(1 + warpgroup, 128);
#pragma unroll
        for (int j = 0; j < 16; ++j) {
            const int i = line + j % 2 * 8, r = row + i, c = column + box * 64 + j / 2 * 8 + pair;
            const float* s = &sum[box * 32 + j * 2];
            Pair<T> both{};
            if (r < p.M && c < p.N) both.left = T(epilogue(s[0], r, c));
            if (r < p.M && c + 1 < p.N) both.right = T(epilogue(s[1], r, c + 1));
            *reinterpret_cast<Pair<T>*>(&buffer[i * 64 + (j / 2 ^ i % 8) * 8 + pair]) = both;
        }
        device::fence_async_proxy();
        device::named_barrier_sync(1 + warpgroup, 128);
        if (thread == 0) {
            device::tma_store_2d(c_map, buffer, column + box * 64, row);
            device::tma_store_commit();
        }
    }
}

// The same where C's strides or alignment are not for TMA.
template <class T, class E>
__device__ void store_elements(const float (&sum)[128], const Problem<T>& p, const E& epilogue, int row, int column, int thread) {
    row += thread / 32 * 16 + thread % 32 / 4;
    column += thread % 4 * 2;
#pragma unroll
    for (int j = 0; j < 128; ++j) {
        const int r = row + j % 4 / 2 * 8, c = column + j / 4 * 8 + j % 2;
        if (r < p.M && c < p.N) p.C(r, c) = T(epilogue(sum[j], r, c));
    }
}

}  // namespace hopper

}  // namespace tg::matmul
