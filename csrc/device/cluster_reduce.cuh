// One value of every thread of a cluster, merged into one that all of them get: within each block, then across blocks through
// distributed shared memory. Every block merges in the same order, so all have the same bits. As reduce.cuh says of its own.
#pragma once
#include "cluster.cuh"
#include "reduce.cuh"

namespace tg::device {

template <class V, class Merge> __device__ inline V cluster_reduce(V value, V nothing, Merge merge) {
    __shared__ V of_block, of_cluster;
    constexpr int WORDS = sizeof(V) / sizeof(unsigned);
    value = block_reduce(value, nothing, merge);
    if (threadIdx.x == 0) of_block = value;
    cluster_arrive();
    cluster_wait();  // every block's value is there
    if (threadIdx.x < 32) {
        value = nothing;
        if (threadIdx.x < cluster_size()) {
            unsigned words[WORDS];
            const unsigned there = map_to_rank(&of_block, threadIdx.x);
#pragma unroll
            for (int w = 0; w < WORDS; ++w) words[w] = load_cluster(there + w * unsigned(sizeof(unsigned)));
            memcpy(&value, words, sizeof(V));
        }
        value = warp_reduce(value, merge);
        if (threadIdx.x == 0) of_cluster = value;
    }
    cluster_arrive();
    cluster_wait();  // this block's value has been read by all, and may be replaced or vanish with the block
    return of_cluster;
}

}  // namespace tg::device
