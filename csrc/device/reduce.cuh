// One value of every lane of a warp, or of every thread of a block, merged into one that all of them get.
//
// The order of merging depends on the size of the block alone, so that a result has the same bits every time. A value is a number or a
// struct of whole 32-bit words; `merge(a, b)` is associative but for rounding and does not care about the order of its arguments.
#pragma once
#include <cstring>

#include "../gpu.h"

namespace tg::device {

// The value of the lane whose number differs in the bits of `across`.
template <class V> __device__ inline V from_lane_across(V value, int across) {
    static_assert(sizeof(V) % sizeof(unsigned) == 0);
    unsigned words[sizeof(V) / sizeof(unsigned)];
    memcpy(words, &value, sizeof(V));
#pragma unroll
    for (unsigned& word : words) word = __shfl_xor_sync(~0u, word, across);
    memcpy(&value, words, sizeof(V));
    return value;
}

template <class V, class Merge> __device__ inline V warp_reduce(V value, Merge merge) {
#pragma unroll
    for (int across = 16; across > 0; across /= 2) value = merge(value, from_lane_across(value, across));
    return value;
}

// For blocks of whole warps in x. `nothing` is the value that changes none it is merged with.
template <class V, class Merge> __device__ inline V block_reduce(V value, V nothing, Merge merge) {
    __shared__ V of_warp[32];
    const int lane = threadIdx.x % 32, warps = blockDim.x / 32;
    value = warp_reduce(value, merge);
    __syncthreads();  // the values of the reduction before this one have been read
    if (lane == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    return warp_reduce(lane < warps ? of_warp[lane] : nothing, merge);
}

template <class A> struct Sum {
    __device__ A operator()(A a, A b) const { return a + b; }
};
template <class A> struct Largest {  // not a number is passed over
    __device__ A operator()(A a, A b) const { return b > a ? b : a; }
};

}  // namespace tg::device
