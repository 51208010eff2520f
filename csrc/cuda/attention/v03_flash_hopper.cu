// The idea: specialists. A producer warpgroup fetches keys and values (TMA); two of consumers take turns: while one has its products
// (wgmma) made, the other computes its softmax. Within each, the products of weights and values run under the next softmax.
// Before it (v02): every warp copied, multiplied and waited for its own softmax; the tensor cores rested meanwhile.
// Ownership: consumer warpgroup w of 2 owns queries 64 w of the block's 128; of them lane 4 g + t of warp v rows 16 v + g and + 8.
// Bottleneck: the exponentials of the first and last tile, under which nothing runs: persistent blocks would overlap those.
// Measure: python benchmarks/ladder.py attention v03_flash_hopper (emulated time)
#include "hopper_tile.h"

namespace tg::attention {

using namespace hopper;

constexpr int HOPPER_ROWS = 2 * GROUP_ROWS, HOPPER_THREADS = 3 * GROUP, STAGES = 2;
template <int D> constexpr int HOPPER_KEYS = D > 128 ? 64 : 128;  // of a tile: scores and results share the registers
template <int D> constexpr bool HOPPER_MASKS = D <= 128;            // neither masks nor dropout would fit in beside 128 results
template <int D> constexpr size_t HOPPER_SHARED = (HOPPER_ROWS + 2 * STAGES * HOPPER_KEYS<D>) * D * 2;

template <class T, int D>
__global__ void __launch_bounds__(HOPPER_THREADS, 1)
    attention_flash_hopper(const __grid_constant__ Problem<T> p, const __grid_constant__ CUtensorMap q_map,
                           const __grid_constant__ CUtensorMap k_map, const __grid_constant__ CUtensorMap v_map, Heads<T> out, float* lse,
                           bool out_chunks) {
#ifndef TG_NO_HOPPER
    constexpr int N = HOPPER_KEYS<D>, TILE = N * D;
    DYNAMIC_SHARED(T, Q);
    T *const Ks = Q + HOPPER_ROWS * D, *const Vs = Ks + STAGES * TILE;
    __shared__ uint64_t q_full, k_full[STAGES], k_empty[STAGES], v_full[STAGES], v_empty[STAGES];
    const int thread = threadIdx.x % GROUP, group = threadIdx.x / GROUP;
    const auto [b, h, first] = place_of_block<HOPPER_ROWS>(p.heads, p.batch, p.queries);
    const int last = p.causal ? min(p.keys, first + HOPPER_ROWS) : p.keys, steps = ceil_div(last, N);
    if (threadIdx.x == 0) {
        device::mbarrier_init(&q_full, 1);
        for (int s = 0; s < STAGES; ++s) {
            device::mbarrier_init(&k_full[s], 1), device::mbarrier_init(&v_full[s], 1);
            device::mbarrier_init(&k_empty[s], 8), device::mbarrier_init(&v_empty[s], 8);  // the consumers' warps
        }
        device::fence_mbarrier_init();
    }
    __syncthreads();

    if (group == 0) {  // the producer
        device::fewer_registers<24>();
        if (thread != 0) return;
        load<D, HOPPER_ROWS>(Q, q_map, first, h, b, &q_full);
        for (int step = 0; step < steps; ++step) {
            const int s = step % STAGES, free = (step / STAGES + 1) % 2;  // the first time round at once
            device::mbarrier_wait(&k_empty[s], free);
            load<D, N>(Ks + s * TILE, k_map, step * N, h / p.group, b, &k_full[s]);
            device::mbarrier_wait(&v_empty[s], free);
            load<D, N>(Vs + s * TILE, v_map, step * N, h / p.group, b, &v_full[s]);
        }
        return;
    }

    device::more_registers<240>();  // consumers
    const int warpgroup = group - 1, lane = thread % 32;
    const int row = first + warpgroup * GROUP_ROWS + thread / 32 * 16 + lane / 4, column = lane % 4 * 2;
    const float factor = p.scale * float(LOG2E);
    const int batch = b, head = h;
    T* const rows = Q + warpgroup * GROUP_ROWS * BOX;
    float s[N / 2], sum_of_values[D / 2] = {}, top[2] = {-INFINITY, -INFINITY}, sum[2] = {}, shrink[2];
    unsigned weights[N / 16][4];

    const auto my_turn = [&] { device::named_barrier_sync(1 + warpgroup, 2 * GROUP); };
    const auto your_turn = [&] { device::named_barrier_arrive(2 - warpgroup, 2 * GROUP); };
    const auto release = [&](uint64_t* empty) {
        if (lane == 0) device::mbarrier_arrive(empty);
    };
    const auto softmax = [&](int step) {  // of the scores in s, which become weights; what was summed before is to shrink
        const int from = step * N;
        if ((HOPPER_MASKS<D> && p.mask.data) || from + N > p.keys || (p.causal && from + N - 1 > row - lane / 4)) {
#pragma unroll
            for (int e = 0; e < N / 2; ++e)
                s[e] = p.template score<HOPPER_MASKS<D>>(s[e], batch, head, row + e % 4 / 2 * 8, from + e / 4 * 8 + column + e % 2);
        } else {
#pragma unroll
            for (int e = 0; e < N / 2; ++e) s[e] *= factor;
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float now = top[half];
#pragma unroll
            for (int e = 2 * half; e < N / 2; e += 4) now = fmaxf(now, fmaxf(s[e], s[e + 1]));
#pragma unroll
            for (int lanes = 2; lanes > 0; lanes /= 2) now = fmaxf(now, __shfl_xor_sync(~0u, now, lanes));
            const float base = now == -INFINITY ? 0.0f : now;  // nothing seen yet: all weights are 0
            shrink[half] = device::exp2_approximate(top[half] - base);
            top[half] = now;
            sum[half] *= shrink[half];
#pragma unroll
            for (int e = 2 * half; e < N / 2; e += 4) {
                s[e] = device::exp2_approximate(s[e] - base), s[e + 1] = device::exp2_approximate(s[e + 1] - base);
                sum[half] += s[e] + s[e + 1];  // of this lane's columns; the lanes come together at the end
            }
        }
        if (HOPPER_MASKS<D> && p.dropout.on) {
            const KeptByRow<N> kept(p, batch, head, row, from);
#pragma unroll
            for (int e = 0; e < N / 2; ++e) s[e] = kept.at(e / 4, e % 4) ? s[e] : 0.0f;
        }
    };

    if (warpgroup == 1) your_turn();  // the first turn is the first warpgroup's
    device::mbarrier_wait(&q_full, 0);
    device::mbarrier_wait(&k_full[0], 0);
    my_turn();
    dots<D, HOPPER_ROWS, N>(s, rows, Ks);
    if (warpgroup == 0 || steps > 1) your_turn();
    device::wgmma_wait<0>();
    release(&k_empty[0]);
    softmax(0);
    round<N>(weights, s, T());
    for (int step = 1; step < steps; ++step) {
        const int stage = step % STAGES, before = (step - 1) % STAGES;
        device::mbarrier_wait(&k_full[stage], step / STAGES % 2);
        device::mbarrier_wait(&v_full[before], (step - 1) / STAGES % 2);
        my_turn();
        dots<D, HOPPER_ROWS, N>(s, rows, Ks + stage * TILE);
        accumulate<D, N>(sum_of_values, weights, Vs + before * TILE);
        if (warpgroup == 0 || step + 1 < steps) your_turn();
        device::wgmma_wait<1>();  // the scores are there, the sums of values on their way
        release(&k_empty[stage]);
        softmax(step);
        device::wgmma_wait<0>();
        release(&v_empty[before]);
#pragma unroll
        for (int e = 0; e < D / 2; ++e) sum_of_values[e] *= shrink[e % 4 / 2];
        round<N>(weights, s, T());
    }
    const int before = (steps - 1) % STAGES;
    device::mbarrier_wait(&v_full[before], (steps - 1) / STAGES % 2);
    accumulate<D, N>(sum_of_values, weights, Vs + before * TILE);
    device::wgmma_wait<0>();

    float inverse[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int lanes = 2; lanes > 0; lanes /= 2) sum[half] += __shfl_xor_sync(~0u, sum[half], lanes);
        inverse[half] = sum[half] == 0 ? 0.0f : p.factor / sum[half];  // a query that sees nothing gets zeros
        const int i = row + half * 8;
        if (lane % 4 == 0 && i < p.queries) lse[p.number(b, h, i)] = (top[half] + logarithm(sum[half])) * float(LN2);
    }
    device::named_barrier_sync(3 + warpgroup, GROUP);  // the warpgroup's products have read its queries: their place takes the output
    store<D, HOPPER_ROWS>(rows, out, out_chunks, b, h, first + warpgroup * GROUP_ROWS, p.queries, p.value_width, sum_of_values, inverse);
#endif
}

void flash_hopper(Array& out, Array& lse, const Array& q, const Array& k, const Array& v, const Array& mask, int64_t causal, double scale,
                  int64_t seed, int64_t first_block, int64_t limit, double factor) {
    const Draw draw{seed, first_block, limit, factor};
    by_dtype<__nv_bfloat16, __half>(q.dtype, [&]<class T>() {
        const Problem<T> p = problem_of<T>(q, k, v, mask, causal, scale, draw);
        if (!p.rows()) return;
        const Heads<T> to(out);
        const unsigned grid = blocks(int64_t(p.batch) * p.heads * ceil_div(p.queries, HOPPER_ROWS));
        by_width<64, 128, 256>(std::max(p.width, p.value_width), [&](auto d) {
            constexpr int D = decltype(d)::value, N = HOPPER_KEYS<D>;
            if ((p.mask.data || p.dropout.on) && !HOPPER_MASKS<D>)
                throw std::invalid_argument("the kernel takes masks and dropout for heads of up to 128 only");
            const int key_heads = p.heads / p.group;
            launch(attention_flash_hopper<T, D>, grid, HOPPER_THREADS, HOPPER_SHARED<D>, current_stream, p,
                   map_of(p.q, p.batch, p.heads, p.queries, p.width, HOPPER_ROWS), map_of(p.k, p.batch, key_heads, p.keys, p.width, N),
                   map_of(p.v, p.batch, key_heads, p.keys, p.value_width, N), to, lse.ptr<float>(), in_chunks(to));
        });
    });
}

TG_KERNEL(attention, "cuda/v03_flash_hopper", "bfloat16 float16", flash_hopper, Chips{90, 99})

}  // namespace tg::attention
