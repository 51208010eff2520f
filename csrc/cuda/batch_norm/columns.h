// Columns of an image whose channels come last, kept by a cluster of blocks: who has which rows, how they are walked, how columns are merged.
// For group_norm they are the columns of some whole groups of one sample; for batch_norm all rows are one sample, and a group is a column.
#pragma once
#include <algorithm>
#include <numeric>

#include "../../device/cluster_reduce.cuh"
#include "rows.h"

namespace tg::batch_norm {

constexpr int64_t COLUMNS_ROOM = 192 * 1024;           // bytes of rows that a block keeps: one on a multiprocessor, whose registers it needs as well
constexpr int64_t COLUMNS_MEMORY = 224 * 1024;         // bytes of shared memory, with those that columns are merged in
constexpr int MOST_PACKED = 256;                       // packs across a block; what would need more goes element by element
template <int N> constexpr int STEP = N == 1 ? 4 : 2;  // rows of N arrays that a thread has in flight

struct Columns {
    int64_t rows, samples;  // rows of a sample
    int C, per, packs, lanes, tiles;  // channels; those of a group; packs of a tile, and lanes side by side for them; tiles of a row
    int cluster = 1, threads, of_warp, kept;  // lanes side by side in a warp; packs a thread keeps
    size_t shared;

    // For packs of w elements, `bytes` of which each are kept; columns are merged in values of `value` bytes.
    Columns(const Shape& s, int w, int64_t bytes, int64_t value)
        : rows(s.per ? s.S : s.N * s.S), samples(s.per ? s.N : 1), C(device::length_of(s.C, "a row of channels")), per(s.per ? int(s.per) : 1) {
        const int unit = whole(per, w);
        int across = w > 1 ? 8 : 32;
        while (across > 2 && rows * across * w * bytes > LARGEST_CLUSTER * COLUMNS_ROOM) across /= 2;
        packs = std::max(across / unit, 1) * unit;
        for (lanes = 2; lanes < packs && lanes < 32;) lanes *= 2;
        lanes = (packs + lanes - 1) / lanes * lanes;
        of_warp = std::min(lanes, 32);
        tiles = (C + packs * w - 1) / (packs * w);
        const int64_t all = rows * packs * w * bytes;
        while (cluster < LARGEST_CLUSTER && all > cluster * (samples * tiles * cluster < 512 ? 16 * 1024 : COLUMNS_ROOM)) cluster *= 2;
        const int64_t units = (rows + cluster - 1) / cluster * lanes;
        for (threads = std::max(lanes, 64); 2 * threads <= MOST_THREADS && units > 2 * threads;) threads *= 2;
        const int64_t merging = (threads / 32 * of_warp + 2 * lanes) * w * value;
        kept = int(std::min((units + threads - 1) / threads, std::min(COLUMNS_ROOM, COLUMNS_MEMORY - merging) / (threads * w * bytes)));
        shared = size_t(kept) * threads * w * bytes + merging;
    }
    // Packs that whole groups are made of.
    static int whole(int64_t per, int w) { return int(std::lcm(per, int64_t(w)) / w); }

    dim3 grid() const { return device::blocks_for(samples * tiles * cluster, 1); }

    __device__ int64_t sample() const { return int64_t(blockIdx.x) / cluster / tiles; }
    __device__ int lane() const { return int(threadIdx.x) % lanes; }
    __device__ int lines() const { return int(blockDim.x) / lanes; }
    __device__ int first(int w) const { return int(blockIdx.x) / cluster % tiles * packs * w; }  // channel of the tile
    __device__ int columns(int w) const { return C - first(w) < packs * w ? C - first(w) : packs * w; }
    __device__ int64_t group(int c) const { return sample() * (C / per) + c / per; }
    template <class T> __device__ T* merging(T* shared, int w) const { return shared + int64_t(kept) * blockDim.x * w; }
};

// f.operator()<W>() for packs of 16 bytes where rows are made of them and a block has room for whole groups of them, else for elements.
template <class T, class F> void by_pack(const Shape& s, std::initializer_list<const void*> pointers, F&& f) {
    const bool fits = Columns::whole(std::max<int64_t>(s.per, 1), device::PACK<T>) <= MOST_PACKED;
    if (s.per > MOST_THREADS && !fits) throw std::invalid_argument("a block has no room for a group of " + std::to_string(s.per) + " channels");
    by_width<T>(fits ? s.C : 1, pointers, f);
}

// A thread's rows, some of them in flight: load(values, k, row) for the k-th, then use(all values, number of the first, how many, its row).
template <int N, int W, class A, class Load, class Use> __device__ __forceinline__ void down(const Columns& s, Load load, Use use) {
    const int64_t rank = device::cluster_rank(), start = s.sample() * s.rows, stop = start + s.rows * (rank + 1) / s.cluster;
    constexpr int AHEAD = STEP<N>;
    const int lines = s.lines();
    int k = 0;
    for (int64_t row = start + s.rows * rank / s.cluster + int(threadIdx.x) / s.lanes; row < stop; row += AHEAD * lines) {
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

// What columns are merged in.
template <class V> struct Merging {
    V *of_warp, *of_block, *all;

    __device__ Merging(const Columns& s, void* memory, int w)
        : of_warp(static_cast<V*>(memory)), of_block(of_warp + int(blockDim.x) / 32 * s.of_warp * w), all(of_block + s.lanes * w) {}
};

// What the lanes of all lines of all blocks have of each column, merged: one value a column, in the same order in every block.
template <int W, class V, class Merge> __device__ __forceinline__ const V* merge_columns(const Columns& s, const Merging<V>& m, V (&own)[W], Merge merge) {
    constexpr int WORDS = sizeof(V) / sizeof(unsigned);
    const int t = int(threadIdx.x), lane = t % 32, parts = s.lanes / s.of_warp;  // warps of a line
    for (int across = s.lanes; across < 32; across *= 2)
#pragma unroll
        for (V& v : own) v = merge(v, device::from_lane_across(v, across));
#pragma unroll
    for (int i = 0; i < W; ++i)
        if (lane < s.of_warp) m.of_warp[(t / 32 * s.of_warp + lane) * W + i] = own[i];
    __syncthreads();
    for (int c = t; c < s.lanes * W; c += int(blockDim.x)) {
        V sum = m.of_warp[c];  // a line of several warps has its columns in their order
        for (int w = parts; w < int(blockDim.x) / 32; w += parts) sum = merge(sum, m.of_warp[w * s.of_warp * W + c]);
        m.of_block[c] = sum;
    }
    device::cluster_arrive();
    device::cluster_wait();  // every block's values are there
    for (int c = t; c < s.lanes * W; c += int(blockDim.x)) {
        V sum;
        for (int r = 0; r < s.cluster; ++r) {
            unsigned words[WORDS];
            const unsigned there = device::map_to_rank(&m.of_block[c], unsigned(r));
#pragma unroll
            for (int w = 0; w < WORDS; ++w) words[w] = device::load_cluster(there + w * unsigned(sizeof(unsigned)));
            V part;
            memcpy(&part, words, sizeof(V));
            sum = r ? merge(sum, part) : part;
        }
        m.all[c] = sum;
    }
    device::cluster_arrive();
    device::cluster_wait();  // all have read this block's values, which may be replaced, or vanish with it
    return m.all;
}

// The columns of each group of the tile, merged by a team of up to 32 lanes: one value a group. value(column) is what counts of a column.
template <int W, class V, class Value, class Merge>
__device__ __forceinline__ const V* merge_groups(const Columns& s, const Merging<V>& m, V nothing, Value value, Merge merge) {
    int team = 1;
    while (team < s.per && team < 32) team *= 2;
    const int t = int(threadIdx.x), groups = s.columns(W) / s.per, teams = int(blockDim.x) / team;
    for (int first = 0; first < groups; first += teams) {
        const int g = first + t / team;
        V sum = nothing;
        for (int i = t % team; i < s.per && g < groups; i += team) sum = merge(sum, value(g * s.per + i));
        for (int across = team / 2; across > 0; across /= 2) sum = merge(sum, device::from_lane_across(sum, across));
        if (t % team == 0 && g < groups) m.of_block[g] = sum;
    }
    __syncthreads();
    return m.of_block;
}

}  // namespace tg::batch_norm
