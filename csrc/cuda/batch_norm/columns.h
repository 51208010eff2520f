// Columns of an image whose channels come last, kept by a cluster of blocks: who has which rows, how they are walked, how columns are merged.
#pragma once
#include <algorithm>

#include "../../device/cluster_reduce.cuh"
#include "../../device/packs.cuh"
#include "groups.h"

namespace tg::batch_norm {

constexpr int COLUMNS = 64;                            // channels of a block
constexpr int64_t COLUMNS_ROOM = 192 * 1024;           // bytes that a block keeps: one on a multiprocessor, whose registers it needs as well
template <int N> constexpr int STEP = N == 1 ? 4 : 2;  // rows of N arrays that a thread has in flight

struct Columns {
    int64_t rows;
    int C, lanes, cluster = 1, threads = 64, kept;  // packs a thread keeps
    size_t shared;

    // For packs of w elements, `bytes` of which each are kept.
    Columns(const Array& x, int w, int64_t bytes) : rows(device::length_of(x.shape[0], "a channel")), C(device::length_of(x.shape[1], "a row of channels")) {
        for (lanes = w > 1 ? 8 : 32; lanes > 2 && rows * lanes * w * bytes > LARGEST_CLUSTER * COLUMNS_ROOM;) lanes /= 2;
        const int64_t across = (C + lanes * w - 1) / (lanes * w), all = rows * lanes * w * bytes;
        while (cluster < LARGEST_CLUSTER && all > cluster * (across * cluster < 512 ? 16 * 1024 : COLUMNS_ROOM)) cluster *= 2;
        const int64_t packs = (rows + cluster - 1) / cluster * lanes;
        while (threads < MOST_THREADS && packs > 2 * threads) threads *= 2;
        kept = int(std::min((packs + threads - 1) / threads, COLUMNS_ROOM / (threads * w * bytes)));
        shared = size_t(kept) * threads * w * bytes;
    }
    dim3 grid(int w) const { return device::blocks_for(int64_t((C + lanes * w - 1) / (lanes * w)) * cluster, 1); }

    __device__ int lines() const { return int(blockDim.x) / lanes; }
    __device__ int channel(int w) const { return (int(blockIdx.x) / cluster * lanes + int(threadIdx.x) % lanes) * w; }
};

// A thread's rows, some of them in flight: load(values, k, row) for the k-th, then use(all values, number of the first, how many, its row).
template <int N, int W, class A, class Load, class Use> __device__ __forceinline__ void down(const Columns& s, Load load, Use use) {
    const int64_t rank = device::cluster_rank(), stop = s.rows * (rank + 1) / s.cluster;
    constexpr int AHEAD = STEP<N>;
    const int lines = s.lines();
    int k = 0;
    for (int64_t row = s.rows * rank / s.cluster + int(threadIdx.x) / s.lanes; row < stop; row += AHEAD * lines) {
        A values[AHEAD][N][W] = {};
#pragma unroll
        for (int i = 0; i < AHEAD; ++i)
            if (row + i * lines < stop) load(values[i], k + i, row + i * lines);
        int count = 0;
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) count += row + i * lines < stop;
        use(values, k, count, row);
        k += count;
    }
}

// What the lanes of all lines of all blocks have of each column, merged: one value a column, in the same order in every block.
template <int W, class V, class Merge> __device__ __forceinline__ const V* merge_columns(const Columns& s, V (&own)[W], Merge merge) {
    __shared__ V of_warp[MOST_THREADS / 32][COLUMNS], of_block[COLUMNS], all[COLUMNS];
    constexpr int WORDS = sizeof(V) / sizeof(unsigned);
    const int t = int(threadIdx.x), lane = t % 32, columns = s.lanes * W;
    for (int across = s.lanes; across < 32; across *= 2)
#pragma unroll
        for (V& v : own) v = merge(v, device::from_lane_across(v, across));
#pragma unroll
    for (int i = 0; i < W; ++i)
        if (lane < s.lanes) of_warp[t / 32][lane * W + i] = own[i];
    __syncthreads();
    if (t < columns) {
        V sum = of_warp[0][t];
        for (int w = 1; w < int(blockDim.x) / 32; ++w) sum = merge(sum, of_warp[w][t]);
        of_block[t] = sum;
    }
    device::cluster_arrive();
    device::cluster_wait();  // every block's values are there
    if (t < columns) {
        V sum;
        for (int r = 0; r < s.cluster; ++r) {
            unsigned words[WORDS];
            const unsigned there = device::map_to_rank(&of_block[t], unsigned(r));
#pragma unroll
            for (int w = 0; w < WORDS; ++w) words[w] = device::load_cluster(there + w * unsigned(sizeof(unsigned)));
            V part;
            memcpy(&part, words, sizeof(V));
            sum = r ? merge(sum, part) : part;
        }
        all[t] = sum;
    }
    device::cluster_arrive();
    device::cluster_wait();  // all have read this block's values, which may vanish with it
    return all;
}

}  // namespace tg::batch_norm
