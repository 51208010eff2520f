// The kernels of v02_warp_shuffle: rows, columns, and the merging of what several blocks made of one result.
#pragma once
#include "operations.h"

namespace tg::reduce {

constexpr unsigned THREADS = 256, WARPS = THREADS / 32;
constexpr unsigned SHORT = 512;         // elements of a result that one warp takes on
constexpr unsigned SPLIT_FROM = 8192;   // elements that a block has at least where several share a result
constexpr unsigned ENOUGH = 256;        // blocks that keep every chip of today busy

// The elements [first, last) of a result that one of `parts` blocks takes on.
struct Part {
    unsigned first, last;
};
__device__ inline Part part_of(unsigned count, unsigned part, unsigned parts) {
    const unsigned each = ceil_div(ceil_div(count, parts), 64) * 64, first = part * each;
    return {first < count ? first : count, first < count && count - first > each ? first + each : count};
}

template <class State> __device__ State shuffled_down(const State& state, int lanes) {
    static_assert(sizeof(State) % 4 == 0);
    unsigned words[sizeof(State) / 4];
    memcpy(words, &state, sizeof(State));
    for (unsigned& w : words) w = __shfl_down_sync(~0u, w, lanes);
    State other;
    memcpy(static_cast<void*>(&other), words, sizeof(State));
    return other;
}
template <class State> __device__ void merge_warp(State& state) {  // into lane 0
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) state.merge(shuffled_down(state, lanes));
}

template <class State> __device__ void finish(const Problem& p, const State& state, unsigned o, unsigned part, unsigned parts) {
    if (parts == 1) state.end(p, o);
    else reinterpret_cast<State*>(p.workspace)[o * parts + part] = state;
}

// A dense run of elements: single ones up to an address of 16 bytes, vectors, single ones; thread t of `team`.
template <class S, class State> __device__ void take_dense(State& state, const S* x, Part range, unsigned t, unsigned team) {
    constexpr unsigned VEC = 16 / sizeof(S);
    const unsigned off = unsigned(reinterpret_cast<uintptr_t>(x + range.first) / sizeof(S)) % VEC;
    const unsigned start = off ? range.first + VEC - off : range.first;  // of the first vector
    const unsigned begin = start < range.last ? start : range.last, vectors = (range.last - begin) / VEC;
    for (unsigned i = range.first + t; i < begin; i += team) state.take(x[i], i);
    for (unsigned v = t; v < vectors; v += team) {
        S raw[VEC];
        pointwise::load(raw, x + begin + v * VEC);
#pragma unroll
        for (unsigned i = 0; i < VEC; ++i) state.take(raw[i], begin + v * VEC + i);
    }
    for (unsigned i = begin + vectors * VEC + t; i < range.last; i += team) state.take(x[i], i);
}

// A team of threads a result: a warp, or the whole block; blockIdx.y is the part of it.
template <class State, class S>
__global__ void __launch_bounds__(THREADS) reduce_rows(const __grid_constant__ Problem p, unsigned team, bool dense) {
    DYNAMIC_SHARED(State, of_warp);
    const unsigned t = threadIdx.x % team, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const unsigned o = blockIdx.x * (THREADS / team) + threadIdx.x / team;
    State state;
    if (o < p.outer.count) {
        const S* x = reinterpret_cast<const S*>(p.x) + p.outer.place(o);
        const Part range = part_of(p.inner.count, blockIdx.y, gridDim.y);
        if (dense) take_dense<S>(state, x, range, t, team);
        else
            for (unsigned i = range.first + t; i < range.last; i += team) state.take(x[p.inner.place(i)], i);
    }
    merge_warp(state);
    if (team == 32) {
        if (lane == 0 && o < p.outer.count) finish(p, state, o, blockIdx.y, gridDim.y);
        return;
    }
    if (lane == 0) of_warp[warp] = state;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (unsigned w = 1; w < WARPS; ++w) state.merge(of_warp[w]);
    finish(p, state, o, blockIdx.y, gridDim.y);
}

// A lane a result, so that a warp reads a piece of a row of x; the warps of a block share the elements.
template <class State, class S> __global__ void __launch_bounds__(THREADS) reduce_columns(const __grid_constant__ Problem p) {
    DYNAMIC_SHARED(State, states);
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, o = blockIdx.x * 32 + lane;
    State state;
    if (o < p.outer.count) {
        const S* x = reinterpret_cast<const S*>(p.x) + p.outer.place(o);
        const Part range = part_of(p.inner.count, blockIdx.y, gridDim.y);
        for (unsigned i = range.first + warp; i < range.last; i += WARPS) state.take(x[p.inner.place(i)], i);
    }
    states[threadIdx.x] = state;
    __syncthreads();
    if (warp > 0 || o >= p.outer.count) return;
    for (unsigned w = 1; w < WARPS; ++w) state.merge(states[w * 32 + lane]);
    finish(p, state, o, blockIdx.y, gridDim.y);
}

// What `parts` blocks left in the workspace becomes one result: a warp each.
template <class State> __global__ void __launch_bounds__(THREADS) reduce_parts(const __grid_constant__ Problem p, unsigned parts) {
    const unsigned o = blockIdx.x * WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    State state;
    if (o < p.outer.count)
        for (unsigned i = lane; i < parts; i += 32) state.merge(reinterpret_cast<const State*>(p.workspace)[o * parts + i]);
    merge_warp(state);
    if (lane == 0 && o < p.outer.count) state.end(p, o);
}

struct WarpShuffle {
    template <class State, class S> static void run(const Problem& p) {
        const Walk& outer = p.outer;
        const bool columns = !p.inner.dense() && outer.ndim && outer.step[outer.ndim - 1] == 1 && outer.shape[outer.ndim - 1] >= 8;
        const unsigned team = p.inner.count <= SHORT ? 32 : THREADS;
        const unsigned blocks = ceil_div(outer.count, columns ? 32 : THREADS / team), most = WORKSPACE / outer.count;
        unsigned parts = p.workspace && blocks < ENOUGH ? p.inner.count / SPLIT_FROM : 1;
        parts = parts < ENOUGH / blocks ? parts : ENOUGH / blocks;
        parts = parts < most ? parts : most;
        if (parts < 1) parts = 1;
        const dim3 grid(blocks, parts);
        if (columns) launch(reduce_columns<State, S>, grid, THREADS, THREADS * sizeof(State), current_stream, p);
        else launch(reduce_rows<State, S>, grid, THREADS, WARPS * sizeof(State), current_stream, p, team, p.inner.dense());
        if (parts > 1) launch(reduce_parts<State>, ceil_div(outer.count, WARPS), THREADS, 0, current_stream, p, parts);
    }
};

}  // namespace tg::reduce
