// Rows of channels (R, C), the memory of an image whose channels come last: which block sums which rows of which channels.
#pragma once
#include "rows.h"

namespace tg::batch_norm {

constexpr int LINES = 8, STEP = 4;  // lines of a block; rows whose moments are made at once

// For batch_norm all rows are one sample, and a group is one channel.
struct Chunks {
    int64_t rows, samples;  // rows of a sample
    int C, per, chunks;     // channels of a group; chunks of a sample

    // `partial` is (samples (chunks + 1), 2, C).
    Chunks(const Shape& s, const Array& partial)
        : rows(s.per ? s.S : s.N * s.S), samples(s.per ? s.N : 1), C(device::length_of(s.C, "a row of channels")), per(s.per ? int(s.per) : 1),
          chunks(int(partial.shape[0] / samples) - 1) {}

    dim3 grid(int w) const { return dim3(device::blocks_for(samples * chunks, 1).x, device::blocks_for(C, 32 * w).x); }

    __device__ int64_t sample() const { return int64_t(blockIdx.x) / chunks; }
    __device__ int64_t first() const { return sample() * rows + rows * (blockIdx.x % chunks) / chunks + threadIdx.y; }
    __device__ int64_t last() const { return sample() * rows + rows * (blockIdx.x % chunks + 1) / chunks; }
    __device__ double size(int chunk) const { return double(rows * (chunk + 1) / chunks - rows * chunk / chunks); }
    __device__ int channel(int w) const { return (int(blockIdx.y) * 32 + int(threadIdx.x)) * w; }
    __device__ int64_t group(int c) const { return sample() * (C / per) + c / per; }
};

// A warp has a group: each lane the values of(chunk, its line, channel) of some of its channels in some of its chunks, which are merged.
template <class V, class Of, class Merge> __device__ V over_group(const Chunks& s, int64_t group, V nothing, Of of, Merge merge) {
    const int64_t sample = group / (s.C / s.per);
    const int first = int(group % (s.C / s.per)) * s.per;
    V value = nothing;
    for (int64_t i = threadIdx.x % 32; i < int64_t(s.per) * s.chunks; i += 32)
        value = merge(value, of(int(i / s.per), sample * s.chunks + i / s.per, first + int(i % s.per)));
    return device::warp_reduce(value, merge);
}

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
