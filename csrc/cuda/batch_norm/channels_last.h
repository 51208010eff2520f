// Rows of channels (R, C), the memory of an image whose channels come last: which block sums which rows of which channels.
#pragma once
#include "../../device/packs.cuh"
#include "groups.h"

namespace tg::batch_norm {

constexpr int LINES = 8, STEP = 4;  // lines of a block; rows whose moments are made at once

struct Chunks {
    int64_t rows;
    int C, chunks;

    // `partial` is (chunks + 1, 2, C).
    Chunks(const Array& x, const Array& partial)
        : rows(device::length_of(x.shape[0], "a channel")), C(device::length_of(x.shape[1], "a row of channels")), chunks(int(partial.shape[0]) - 1) {}

    dim3 grid(int w) const { return dim3(device::blocks_for(C, 32 * w).x, unsigned(chunks)); }

    __device__ int64_t first() const { return rows * blockIdx.y / chunks + threadIdx.y; }
    __device__ int64_t last() const { return rows * (blockIdx.y + 1) / chunks; }
    __device__ double size(int chunk) const { return double(rows * (chunk + 1) / chunks - rows * chunk / chunks); }
    __device__ int channel(int w) const { return (int(blockIdx.x) * 32 + int(threadIdx.x)) * w; }
};

// A channel's value of every line, merged in the lines' order; for the threads of line 0.
template <int W, class V, class Merge> __device__ void merge_lines(V (&values)[W], Merge merge) {
    __shared__ V all[LINES][W][32];
#pragma unroll
    for (int k = 0; k < W; ++k) all[threadIdx.y][k][threadIdx.x] = values[k];
    __syncthreads();
    if (threadIdx.y != 0) return;
    for (int l = 1; l < LINES; ++l)
#pragma unroll
        for (int k = 0; k < W; ++k) values[k] = merge(values[k], all[l][k][threadIdx.x]);
}

inline const dim3 BLOCK(32, LINES);

}  // namespace tg::batch_norm
