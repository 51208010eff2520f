// The idea: both products on the tensor cores. The weights of a warp's 16 queries stay in the registers in which the scores were made,
// rounded to 16 bits; cp.async brings the next keys and values meanwhile. Sums and the softmax are fp32.
// Before it (v01): one multiply-add an instruction and lane, and weights went through shared memory; now 64, and they do not.
// Ownership: warp w of 4 owns queries 16 w of the block's 64; lane 4 g + t rows g and g + 8 of them.
// Bottleneck: exponentials and registers: each warp multiplies, waits for its softmax, multiplies. Specialised warpgroups overlap them.
// Measure: python benchmarks/ladder.py attention v02_flash_tensor_core (emulated time)
#include "tensor_tile.h"

namespace tg::attention {

template <int D> constexpr int KEYS = D > 128 ? 32 : 64;  // of a tile: scores and results share the registers

template <class T, int D>
__global__ void __launch_bounds__(TENSOR_THREADS, 1)
    attention_flash_tensor_core(const __grid_constant__ Problem<T> p, Heads<T> out, float* lse, bool q_chunks, bool k_chunks, bool v_chunks,
                                bool out_chunks) {
#ifndef TG_NO_AMPERE
    using Tile = TensorTile<T, D>;
    constexpr int N = KEYS<D>, SIZE = N * Tile::ROW;
    DYNAMIC_SHARED(T, Q);
    T *const Ks = Q + ROWS * Tile::ROW, *const Vs = Ks + 2 * SIZE;
    const Tile tile;
    const auto [b, h, first] = place_of_block<ROWS>(p.heads, p.batch, p.queries);
    const int batch = b, key_head = h / p.group;
    const int last = p.causal ? min(p.keys, first + ROWS) : p.keys, steps = ceil_div(last, N);
    const auto load = [&](int step) {
        if (step < steps) {
            Tile::template load<N>(Ks + step % 2 * SIZE, p.k, k_chunks, batch, key_head, step * N, p.keys, p.width);
            Tile::template load<N>(Vs + step % 2 * SIZE, p.v, v_chunks, batch, key_head, step * N, p.keys, p.value_width);
        }
        device::cp_async_commit();
    };

    Tile::template load<ROWS>(Q, p.q, q_chunks, b, h, first, p.queries, p.width);
    load(0);
    typename Tile::Result sum_of_values = {};
    float top[2] = {-INFINITY, -INFINITY}, sum[2] = {};
    for (int step = 0; step < steps; ++step) {
        device::cp_async_wait<0>();
        __syncthreads();  // everybody's copies of this step are there, and nobody reads the buffers that are filled next
        load(step + 1);
        typename Tile::template Scores<N> s;
        tile.template dots<N>(s, Q, Ks + step % 2 * SIZE, p.width);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float now = top[half];
#pragma unroll
            for (int n = 0; n < N / 8; ++n)
#pragma unroll
                for (int e = 2 * half; e < 2 * half + 2; ++e) {
                    s[n][e] = p.score(s[n][e], b, h, first + tile.row(e), step * N + tile.column(n, e));
                    now = s[n][e] > now ? s[n][e] : now;
                }
#pragma unroll
            for (int lanes = 2; lanes > 0; lanes /= 2) {
                const float other = __shfl_xor_sync(~0u, now, lanes);
                now = other > now ? other : now;
            }
            const float base = now == -INFINITY ? 0.0f : now;  // nothing seen yet: all weights are 0
            const float shrink = power_of_two(top[half] - base);
            top[half] = now;
            sum[half] *= shrink;
#pragma unroll
            for (int n = 0; n < N / 8; ++n)
#pragma unroll
                for (int e = 2 * half; e < 2 * half + 2; ++e) {
                    s[n][e] = power_of_two(s[n][e] - base);
                    sum[half] += s[n][e];  // of this lane's columns; the lanes come together at the end
                }
#pragma unroll
            for (int n = 0; n < D / 8; ++n) sum_of_values[n][2 * half] *= shrink, sum_of_values[n][2 * half + 1] *= shrink;
        }
        typename Tile::template Weights<N> weights;
        Tile::template round<N>(weights, s);
        if (p.dropout.on) drop(weights, KeptByRow<N>(p, b, h, first + tile.row(0), step * N));
        tile.template accumulate<N>(sum_of_values, weights, Vs + step % 2 * SIZE, p.value_width);
    }

    device::cp_async_wait<0>();  // without keys, of the queries: their tile takes the output
    __syncthreads();
    float inverse[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int lanes = 2; lanes > 0; lanes /= 2) sum[half] += __shfl_xor_sync(~0u, sum[half], lanes);
        inverse[half] = sum[half] == 0 ? 0.0f : p.factor / sum[half];  // a query that sees nothing gets zeros
        const int i = first + tile.row(2 * half);
        if (tile.lane % 4 == 0 && i < p.queries) lse[p.number(b, h, i)] = (top[half] + logarithm(sum[half])) * float(LN2);
    }
    tile.store(Q, out, out_chunks, b, h, first, p.queries, p.value_width, sum_of_values, inverse);
#endif
}

void flash_tensor_core(Array& out, Array& lse, const Array& q, const Array& k, const Array& v, const Array& mask, int64_t causal,
                       double scale, int64_t seed, int64_t first_block, int64_t limit, double factor) {
    const Draw draw{seed, first_block, limit, factor};
    by_dtype<__nv_bfloat16, __half>(q.dtype, [&]<class T>() {
        const Problem<T> p = problem_of<T>(q, k, v, mask, causal, scale, draw);
        if (!p.rows()) return;
        const Heads<T> to(out);
        const unsigned grid = blocks(int64_t(p.batch) * p.heads * ceil_div(p.queries, ROWS));
        by_width<64, 128, 256>(std::max(p.width, p.value_width), [&](auto d) {
            constexpr int D = decltype(d)::value;
            constexpr size_t SHARED = (ROWS + 4 * KEYS<D>) * TensorTile<T, D>::ROW * sizeof(T);
            launch(attention_flash_tensor_core<T, D>, grid, TENSOR_THREADS, SHARED, current_stream, p, to, lse.ptr<float>(), in_chunks(p.q),
                   in_chunks(p.k), in_chunks(p.v), in_chunks(to));
        });
    });
}

TG_KERNEL(attention, "cuda/v02_flash_tensor_core", "bfloat16 float16", flash_tensor_core, Chips{80})

}  // namespace tg::attention
