// The idea: the angle is the same in every head: a thread has cos and sin of its pairs in registers and goes from head to head with them.
// Before it (v00): cos and sin were read again for each head. And 16 bytes of features are one access now.
// Ownership: a thread owns two packs half a head apart (one pair where memory is not aligned for that) in every gridDim.y-th head.
// Bottleneck: memory bandwidth: x once, y once.
// Measure: tensorgrad lab rotary_embedding --kernel v01_heads --shape 4x8x32x64 --shape 32x32 --shape 32x32
#include <algorithm>
#include <type_traits>

#include "../../device/packs.cuh"
#include "heads.h"

namespace tg::rotary_embedding {

constexpr int64_t ENOUGH = 1024;  // threads for each multiprocessor: more heads for a thread, rather than more of them

// N numbers of a table from `at` on, which is a multiple of N, in accesses of 8 or 16 bytes.
template <class S, int N, class A> __device__ inline void read_numbers(A* to, const void* table, int64_t at) {
    if constexpr (N * sizeof(S) < 8) {
        to[0] = static_cast<A>(static_cast<const S*>(table)[at]);
    } else {
        using Raw = std::conditional_t<N * sizeof(S) % 16 == 0, uint4, uint2>;
        constexpr int EACH = int(sizeof(Raw) / sizeof(S));
#pragma unroll
        for (int k = 0; k < N; k += EACH) {
            const Raw raw = *reinterpret_cast<const Raw*>(static_cast<const S*>(table) + at + k);
            S numbers[EACH];
            memcpy(numbers, &raw, sizeof raw);
#pragma unroll
            for (int i = 0; i < EACH; ++i) to[k + i] = static_cast<A>(numbers[i]);
        }
    }
}
template <class T, int N> __device__ inline void read_table(Wide<T>* to, const device::Parameter<T>& table, int64_t at) {
    if (sizeof(T) == 2 && table.wide) read_numbers<float, N>(to, table.data, at);
    else read_numbers<T, N>(to, table.data, at);
}

// V pairs: of two packs that lie half a head apart, whoever is whose other half; or one pair.
template <class T, int V> __global__ void __launch_bounds__(THREADS) rotary_embedding_heads(const __grid_constant__ Heads<T> p) {
    using A = Wide<T>;
    const int64_t t = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    const int packs = p.pairs / V;
    if (t >= int64_t(p.L) * packs) return;
    const int l = int(t / packs), place = int(t - int64_t(l) * packs) * V;
    const bool single = V == 1 && p.interleaved;
    const int first = single ? 2 * place : place, gap = single ? 1 : p.pairs;
    const int64_t row = int64_t(l) * p.pairs;
    A cos[V], sin[V];
    if (V > 1 && p.interleaved) {  // pairs of either pack
        constexpr int HALF = V > 1 ? V / 2 : 1;
#pragma unroll
        for (int i = 0; i < V; i += HALF) {
            const int64_t at = row + place / 2 + (i ? p.pairs / 2 : 0);
            read_table<T, HALF>(cos + i, p.cos, at);
            read_table<T, HALF>(sin + i, p.sin, at);
        }
    } else {
        read_table<T, V>(cos, p.cos, row + place);
        read_table<T, V>(sin, p.sin, row + place);
    }
#pragma unroll
    for (int i = 0; i < V; ++i) sin[i] *= p.sign;
    for (int64_t h = blockIdx.y; h < int64_t(p.B) * p.H; h += gridDim.y) {
        const T* const from = p.from(h, l) + first;
        T* const to = p.to(h, l) + first;
        A x[2][V];
        device::read<V>(x[0], from);
        device::read<V>(x[1], from + gap);
        if (V > 1 && p.interleaved) {
#pragma unroll
            for (int i = 0; i < V; ++i) turn<T>(x[2 * i / V][2 * i % V], x[2 * i / V][2 * i % V + 1], cos[i], sin[i]);
        } else {
#pragma unroll
            for (int i = 0; i < V; ++i) turn<T>(x[0][i], x[1][i], cos[i], sin[i]);
        }
        device::write<V>(to, x[0]);
        device::write<V>(to + gap, x[1]);
    }
}

struct OverHeads {
    template <class T> static void solve(const Heads<T>& p) {
        constexpr int V = device::PACK<T>;
        bool packed = p.pairs % V == 0;
        for (const void* start : {static_cast<const void*>(p.x), static_cast<const void*>(p.y), p.cos.data, p.sin.data}) packed &= device::aligned_16(start);
        for (const int64_t step : p.steps) packed &= step % V == 0;
        const int64_t threads = int64_t(p.L) * p.pairs / (packed ? V : 1), heads = int64_t(p.B) * p.H;
        dim3 grid = device::blocks_for(threads, THREADS);
        const int64_t groups = ENOUGH * multiprocessors() / (int64_t(grid.x) * THREADS) + 1;
        grid.y = unsigned(std::min<int64_t>({groups, heads, 65535}));
        launch(packed ? rotary_embedding_heads<T, V> : rotary_embedding_heads<T, 1>, grid, THREADS, 0, current_stream, p);
    }
};

TG_KERNEL(rotary_embedding, "cuda/v01_heads", device::FLOATS, run<OverHeads>)

}  // namespace tg::rotary_embedding
