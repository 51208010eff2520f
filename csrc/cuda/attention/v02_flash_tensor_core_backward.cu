// The idea: all five products of the backward pass on the tensor cores. Weights and their gradients stay in the registers in which the
// products leave them, rounded to 16 bits; in the second kernel the rows are keys, so that both its results grow in registers.
// Before it (v01): products by the fp32 units, weights by way of shared memory.
// Ownership: warp w of 4 owns rows 16 w of 64: queries in the first kernel, keys in the second.
// Bottleneck: registers. dK and dV of 64 keys fill them, so heads beyond 128 take a launch for each, and weights are made once more.
// Measure: python benchmarks/ladder.py attention v02_flash_tensor_core (emulated time)
#include "backward.h"
#include "tensor_tile.h"

namespace tg::attention {

constexpr int BOTH = 0, ONLY_DK = 1, ONLY_DV = 2;  // what a launch is to find

constexpr int COLUMNS = 32;  // of a tile
template <class T, int D> constexpr size_t BACKWARD_SHARED = (2 * ROWS + 4 * COLUMNS) * TensorTile<T, D>::ROW * sizeof(T);

// Which of the arrays can be moved in chunks.
struct Chunks {
    bool q, k, v, g, dq, dk, dv;
};

template <class T, int D>
__global__ void __launch_bounds__(TENSOR_THREADS, 1) attention_tensor_core_dq(const __grid_constant__ Gradient<T> p, Chunks chunks) {
#ifndef TG_NO_AMPERE
    using Tile = TensorTile<T, D>;
    constexpr int N = COLUMNS, SIZE = N * Tile::ROW;
    DYNAMIC_SHARED(T, Q);
    T *const G = Q + ROWS * Tile::ROW, *const Ks = G + ROWS * Tile::ROW, *const Vs = Ks + 2 * SIZE;
    const Tile tile;
    const Place at = place_of_block<ROWS>(p.heads, p.batch, p.queries);
    const int b = at.batch, h = at.head, first = at.first;
    const int last = p.causal ? min(p.keys, first + ROWS) : p.keys, steps = ceil_div(last, N);
    const auto load = [&](int step) {
        if (step < steps) {
            Tile::template load<N>(Ks + step % 2 * SIZE, p.k, chunks.k, b, h / p.group, step * N, p.keys, p.width);
            Tile::template load<N>(Vs + step % 2 * SIZE, p.v, chunks.v, b, h / p.group, step * N, p.keys, p.value_width);
        }
        device::cp_async_commit();
    };
    Tile::template load<ROWS>(Q, p.q, chunks.q, b, h, first, p.queries, p.width);
    Tile::template load<ROWS>(G, p.g, chunks.g, b, h, first, p.queries, p.value_width);
    load(0);
    typename Tile::Result dq = {};
    float lse[2], delta[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        lse[half] = p.statistic(p.lse, b, h, first + tile.row(2 * half));
        delta[half] = p.statistic(p.delta, b, h, first + tile.row(2 * half));
    }
    for (int step = 0; step < steps; ++step) {
        device::cp_async_wait<0>();
        __syncthreads();  // everybody's copies of this step are there, and nobody reads the buffers that are filled next
        load(step + 1);
        const T *K = Ks + step % 2 * SIZE, *V = Vs + step % 2 * SIZE;
        typename Tile::template Scores<N> s, ds;
        tile.template dots<N>(s, Q, K, p.width);
        tile.template dots<N>(ds, G, V, p.value_width);
        if (p.dropout.on) drop(ds, KeptByRow<N>(p, b, h, first + tile.row(0), step * N));
#pragma unroll
        for (int n = 0; n < N / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                ds[n][e] = p.weight(s[n][e], b, h, first + tile.row(e), step * N + tile.column(n, e), lse[e / 2]) * (ds[n][e] - delta[e / 2]);
        typename Tile::template Weights<N> slopes;
        Tile::template round<N>(slopes, ds);
        tile.template accumulate<N>(dq, slopes, K, p.width);
    }
    device::cp_async_wait<0>();  // without keys, of the queries: their tile takes the result
    __syncthreads();
    tile.store(Q, p.dq, chunks.dq, b, h, first, p.queries, p.width, dq, {p.scale * p.factor, p.scale * p.factor});
#endif
}

template <class T, int D, int WANTED>
__global__ void __launch_bounds__(TENSOR_THREADS, D == 64 ? 3 : 1) attention_tensor_core_dkv(const __grid_constant__ Gradient<T> p, Chunks chunks) {
#ifndef TG_NO_AMPERE
    using Tile = TensorTile<T, D>;
    constexpr int N = COLUMNS, SIZE = N * Tile::ROW;
    DYNAMIC_SHARED(T, K);
    T *const V = K + ROWS * Tile::ROW, *const Qs = V + ROWS * Tile::ROW, *const Gs = Qs + 2 * SIZE;
    const Tile tile;
    const Place at = place_of_block<ROWS>(p.heads / p.group, p.batch, p.keys);
    const int b = at.batch, first = at.first;
    const int earliest = p.causal ? first / N : 0;  // no earlier query sees these keys
    const int per_head = max(0, ceil_div(p.queries, N) - earliest), steps = per_head * p.group;
    const auto load = [&](int step) {
        if (step < steps) {
            const int h = at.head * p.group + step / per_head, i0 = (earliest + step % per_head) * N;
            Tile::template load<N>(Qs + step % 2 * SIZE, p.q, chunks.q, b, h, i0, p.queries, p.width);
            Tile::template load<N>(Gs + step % 2 * SIZE, p.g, chunks.g, b, h, i0, p.queries, p.value_width);
        }
        device::cp_async_commit();
    };
    Tile::template load<ROWS>(K, p.k, chunks.k, b, at.head, first, p.keys, p.width);
    Tile::template load<ROWS>(V, p.v, chunks.v, b, at.head, first, p.keys, p.value_width);
    load(0);
    typename Tile::Result dk = {}, dv = {};
    for (int step = 0; step < steps; ++step) {
        device::cp_async_wait<0>();
        __syncthreads();
        load(step + 1);
        const int h = at.head * p.group + step / per_head, i0 = (earliest + step % per_head) * N;
        const T *Q = Qs + step % 2 * SIZE, *G = Gs + step % 2 * SIZE;
        typename Tile::template Scores<N> weight, ds;
        typename Tile::template Weights<N> operand;
        tile.template dots<N>(weight, K, Q, p.width);
#pragma unroll
        for (int n = 0; n < N / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int query = i0 + tile.column(n, e);
                weight[n][e] = p.weight(weight[n][e], b, h, query, first + tile.row(e), p.statistic(p.lse, b, h, query));
            }
        KeptByColumn<N> kept;
        if (p.dropout.on) kept.draw(p, b, h, i0, first + tile.row(0));
        if constexpr (WANTED != ONLY_DK) {
            Tile::template round<N>(operand, weight);
            if (p.dropout.on) drop(operand, kept);
            tile.template accumulate<N>(dv, operand, G, p.value_width);
        }
        if constexpr (WANTED != ONLY_DV) {
            tile.template dots<N>(ds, V, G, p.value_width);
            if (p.dropout.on) drop(ds, kept);
#pragma unroll
            for (int n = 0; n < N / 8; ++n)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    ds[n][e] = weight[n][e] * (ds[n][e] - p.statistic(p.delta, b, h, i0 + tile.column(n, e)));
            Tile::template round<N>(operand, ds);
            tile.template accumulate<N>(dk, operand, Q, p.width);
        }
    }
    device::cp_async_wait<0>();
    __syncthreads();
    const float slope = p.scale * p.factor;
    if constexpr (WANTED != ONLY_DV) tile.store(K, p.dk, chunks.dk, b, at.head, first, p.keys, p.width, dk, {slope, slope});
    if constexpr (WANTED != ONLY_DK) tile.store(V, p.dv, chunks.dv, b, at.head, first, p.keys, p.value_width, dv, {p.factor, p.factor});
#endif
}

template <class T, int D> void run_tensor_core_backward(const Gradient<T>& p) {
    const Chunks c{in_chunks(p.q),  in_chunks(p.k),  in_chunks(p.v), in_chunks(p.g),
                   in_chunks(p.dq), in_chunks(p.dk), in_chunks(p.dv)};
    const auto go = [&](auto kernel, int heads, int positions) {
        const unsigned grid = blocks(int64_t(p.batch) * heads * ceil_div(positions, ROWS));
        if (grid) launch(kernel, grid, TENSOR_THREADS, BACKWARD_SHARED<T, D>, current_stream, p, c);
    };
    find_delta(p);
    go(attention_tensor_core_dq<T, D>, p.heads, p.queries);
    if constexpr (D <= 128) {
        go(attention_tensor_core_dkv<T, D, BOTH>, p.heads / p.group, p.keys);
    } else {
        go(attention_tensor_core_dkv<T, D, ONLY_DK>, p.heads / p.group, p.keys);
        go(attention_tensor_core_dkv<T, D, ONLY_DV>, p.heads / p.group, p.keys);
    }
}

void tensor_core_backward(Array& dq, Array& dk, Array& dv, Array& workspace, const Array& g, const Array& q, const Array& k, const Array& v,
                          const Array& out, const Array& lse, const Array& mask, int64_t causal, double scale, int64_t seed,
                          int64_t first_block, int64_t limit, double factor) {
    const Draw draw{seed, first_block, limit, factor};
    by_dtype<__nv_bfloat16, __half>(q.dtype, [&]<class T>() {
        const Gradient<T> p = gradient_of<T>(dq, dk, dv, workspace, g, q, k, v, out, lse, mask, causal, scale, draw);
        by_width<64, 128, 256>(std::max(p.width, p.value_width), [&](auto d) { run_tensor_core_backward<T, decltype(d)::value>(p); });
    });
}

TG_KERNEL(attention_backward, "cuda/v02_flash_tensor_core", "bfloat16 float16", tensor_core_backward, Chips{80})

}  // namespace tg::attention
