// The idea: the backward pass as the forward one: a producer fetches by TMA, two warpgroups of consumers multiply by wgmma. Weights and
// their gradients stay in the registers in which the products leave them, as the left operand of the next.
// Before it (v02): each warp copied what it multiplied, and waited for both.
// Ownership: consumer warpgroup w of 2 owns rows 64 w of the block's 128: queries in the first kernel, keys in the second.
// Bottleneck: registers: dK and dV of heads of 128 leave room for tiles of 32 queries; and the sums are waited for in every step.
// Measure: python benchmarks/ladder.py attention v03_flash_hopper (emulated time)
#include "backward.h"
#include "hopper_tile.h"

namespace tg::attention {

using namespace hopper;
namespace {

constexpr int BACK_ROWS = 2 * GROUP_ROWS, BACK_THREADS = 3 * GROUP, BACK_STAGES = 2;
constexpr int BACK_KEYS = 64;                                    // of a tile where the rows are queries
template <int D> constexpr int BACK_QUERIES = D > 64 ? 32 : 64;  // and where they are keys
template <int D, int N> constexpr size_t BACK_SHARED = (2 * BACK_ROWS + 2 * BACK_STAGES * N) * D * 2;

// Two tiles of the block's rows, and pairs of tiles of columns that go round.
template <class T, int D, int N> struct Pipe {
    static constexpr int OWN = BACK_ROWS * D, TILE = N * D;
    T* tiles;
    uint64_t *own, *full, *empty;

    __device__ T* rows(int which) const { return tiles + which * OWN; }
    __device__ T* columns(int step, int which) const { return tiles + 2 * OWN + (step % BACK_STAGES * 2 + which) * TILE; }
    __device__ void prepare() const {
        if (threadIdx.x == 0) {
            device::mbarrier_init(own, 2);
            for (int s = 0; s < BACK_STAGES; ++s) device::mbarrier_init(&full[s], 2), device::mbarrier_init(&empty[s], 8);
            device::fence_mbarrier_init();
        }
        __syncthreads();
    }
    __device__ void await_empty(int step) const { device::mbarrier_wait(&empty[step % BACK_STAGES], (step / BACK_STAGES + 1) % 2); }
    __device__ void await_full(int step) const { device::mbarrier_wait(&full[step % BACK_STAGES], step / BACK_STAGES % 2); }
    __device__ void release(int step) const {
        if (threadIdx.x % 32 == 0) device::mbarrier_arrive(&empty[step % BACK_STAGES]);
    }
    __device__ void fetch(int step, const CUtensorMap& a, const CUtensorMap& b, int first, int h, int batch) const {
        load<D, N>(columns(step, 0), a, first, h, batch, &full[step % BACK_STAGES]);
        load<D, N>(columns(step, 1), b, first, h, batch, &full[step % BACK_STAGES]);
    }
};

}  // namespace

template <class T, int D>
__global__ void __launch_bounds__(BACK_THREADS, 1)
    attention_hopper_dq(const __grid_constant__ Gradient<T> p, const __grid_constant__ CUtensorMap q_map,
                        const __grid_constant__ CUtensorMap g_map, const __grid_constant__ CUtensorMap k_map,
                        const __grid_constant__ CUtensorMap v_map, bool chunks) {
#ifndef TG_NO_HOPPER
    constexpr int N = BACK_KEYS;
    DYNAMIC_SHARED(T, tiles);
    __shared__ uint64_t own, full[BACK_STAGES], empty[BACK_STAGES];
    const Pipe<T, D, N> pipe{tiles, &own, full, empty};
    const Place at = place_of_block<BACK_ROWS>(p.heads, p.batch, p.queries);
    const int b = at.batch, h = at.head, first = at.first, steps = ceil_div(p.causal ? min(p.keys, first + BACK_ROWS) : p.keys, N);
    pipe.prepare();
    if (threadIdx.x < GROUP) {
        device::fewer_registers<24>();
        if (threadIdx.x != 0) return;
        load<D, BACK_ROWS>(pipe.rows(0), q_map, first, h, b, &own);
        load<D, BACK_ROWS>(pipe.rows(1), g_map, first, h, b, &own);
        for (int step = 0; step < steps; ++step) {
            pipe.await_empty(step);
            pipe.fetch(step, k_map, v_map, step * N, h / p.group, b);
        }
        return;
    }
    device::more_registers<240>();
    const int warpgroup = threadIdx.x / GROUP - 1, lane = threadIdx.x % 32, place = warpgroup * GROUP_ROWS * BOX;
    const int warp_row = first + warpgroup * GROUP_ROWS + threadIdx.x / 32 % 4 * 16, row = warp_row + lane / 4, column = lane % 4 * 2;
    float s[N / 2], ds[N / 2], dq[D / 2] = {}, lse[2], delta[2];
    unsigned slopes[N / 16][4];
    for (int half = 0; half < 2; ++half) {
        lse[half] = p.statistic(p.lse, b, h, row + half * 8);
        delta[half] = p.statistic(p.delta, b, h, row + half * 8);
    }
    device::mbarrier_wait(&own, 0);
    for (int step = 0; step < steps; ++step) {
        pipe.await_full(step);
        dots<D, BACK_ROWS, N>(s, pipe.rows(0) + place, pipe.columns(step, 0));
        dots<D, BACK_ROWS, N>(ds, pipe.rows(1) + place, pipe.columns(step, 1));
        device::wgmma_wait<1>();  // the scores are there
        const int from = step * N;
        if (p.mask.data || from + N > p.keys || (p.causal && from + N - 1 > warp_row)) {
#pragma unroll
            for (int e = 0; e < N / 2; ++e)
                s[e] = p.weight(s[e], b, h, row + e % 4 / 2 * 8, from + e / 4 * 8 + column + e % 2, lse[e % 4 / 2]);
        } else {
#pragma unroll
            for (int e = 0; e < N / 2; ++e)
                s[e] = device::exp2_approximate(s[e] * (p.scale * float(LOG2E)) - lse[e % 4 / 2] * float(LOG2E));
        }
        device::wgmma_wait<0>();
        if (p.dropout.on) {
            const KeptByRow<N> kept(p, b, h, row, from);
#pragma unroll
            for (int e = 0; e < N / 2; ++e) ds[e] = kept.at(e / 4, e % 4) ? ds[e] : 0.0f;
        }
#pragma unroll
        for (int e = 0; e < N / 2; ++e) ds[e] = s[e] * (ds[e] - delta[e % 4 / 2]);
        round<N>(slopes, ds, T());
        accumulate<D, N>(dq, slopes, pipe.columns(step, 0));
        device::wgmma_wait<0>();  // meanwhile the other warpgroup has products made, or weights
        pipe.release(step);
    }
    device::named_barrier_sync(1 + warpgroup, GROUP);  // the warpgroup's products have read its rows: their place takes the result
    const int start = first + warpgroup * GROUP_ROWS;
    store<D, BACK_ROWS>(pipe.rows(0) + place, p.dq, chunks, b, h, start, p.queries, p.width, dq, {p.scale * p.factor, p.scale * p.factor});
#endif
}

template <class T, int D>
__global__ void __launch_bounds__(BACK_THREADS, 1)
    attention_hopper_dkv(const __grid_constant__ Gradient<T> p, const __grid_constant__ CUtensorMap q_map,
                         const __grid_constant__ CUtensorMap g_map, const __grid_constant__ CUtensorMap k_map,
                         const __grid_constant__ CUtensorMap v_map, bool k_chunks, bool v_chunks) {
#ifndef TG_NO_HOPPER
    constexpr int N = BACK_QUERIES<D>;
    DYNAMIC_SHARED(T, tiles);
    __shared__ uint64_t own, full[BACK_STAGES], empty[BACK_STAGES];
    const Pipe<T, D, N> pipe{tiles, &own, full, empty};
    const Place at = place_of_block<BACK_ROWS>(p.heads / p.group, p.batch, p.keys);
    const int b = at.batch, first = at.first, earliest = p.causal ? first / N : 0;  // no earlier query sees these keys
    const int per_head = max(0, ceil_div(p.queries, N) - earliest), steps = per_head * p.group;
    const auto head = [&](int step) { return at.head * p.group + step / per_head; };
    const auto query = [&](int step) { return (earliest + step % per_head) * N; };
    pipe.prepare();
    if (threadIdx.x < GROUP) {
        device::fewer_registers<24>();
        if (threadIdx.x != 0) return;
        load<D, BACK_ROWS>(pipe.rows(0), k_map, first, at.head, b, &own);
        load<D, BACK_ROWS>(pipe.rows(1), v_map, first, at.head, b, &own);
        for (int step = 0; step < steps; ++step) {
            pipe.await_empty(step);
            pipe.fetch(step, q_map, g_map, query(step), head(step), b);
        }
        return;
    }
    device::more_registers<240>();
    const int warpgroup = threadIdx.x / GROUP - 1, lane = threadIdx.x % 32, place = warpgroup * GROUP_ROWS * BOX;
    const int warp_row = first + warpgroup * GROUP_ROWS + threadIdx.x / 32 % 4 * 16, row = warp_row + lane / 4, column = lane % 4 * 2;
    float s[N / 2], ds[N / 2], dk[D / 2] = {}, dv[D / 2] = {};
    unsigned weights[N / 16][4], slopes[N / 16][4];
    device::mbarrier_wait(&own, 0);
    for (int step = 0; step < steps; ++step) {
        pipe.await_full(step);
        dots<D, BACK_ROWS, N>(s, pipe.rows(0) + place, pipe.columns(step, 0));
        dots<D, BACK_ROWS, N>(ds, pipe.rows(1) + place, pipe.columns(step, 1));
        device::wgmma_wait<1>();  // the scores are there
        const int h = head(step), i0 = query(step);
        const bool checked = p.mask.data || (p.causal && i0 < warp_row + 15);  // what lies beyond the queries is zeros
#pragma unroll
        for (int e = 0; e < N / 2; ++e) {
            const int i = i0 + e / 4 * 8 + column + e % 2;
            const float lse = p.statistic(p.lse, b, h, i);
            s[e] = checked ? p.weight(s[e], b, h, i, row + e % 4 / 2 * 8, lse)
                           : device::exp2_approximate(s[e] * (p.scale * float(LOG2E)) - lse * float(LOG2E));
        }
        KeptByColumn<N> kept;
        round<N>(weights, s, T());
        if (p.dropout.on) {
            kept.draw(p, b, h, i0, row);
            drop(weights, kept);
        }
        accumulate<D, N>(dv, weights, pipe.columns(step, 1));
        device::wgmma_wait<1>();  // all but what has just begun
        if (p.dropout.on) {
#pragma unroll
            for (int e = 0; e < N / 2; ++e) ds[e] = kept.at(e / 4, e % 4) ? ds[e] : 0.0f;
        }
#pragma unroll
        for (int e = 0; e < N / 2; ++e) ds[e] = s[e] * (ds[e] - p.statistic(p.delta, b, h, i0 + e / 4 * 8 + column + e % 2));
        round<N>(slopes, ds, T());
        accumulate<D, N>(dk, slopes, pipe.columns(step, 0));
        device::wgmma_wait<0>();
        pipe.release(step);
    }
    device::named_barrier_sync(1 + warpgroup, GROUP);
    const int start = first + warpgroup * GROUP_ROWS;
    const float slope = p.scale * p.factor;
    store<D, BACK_ROWS>(pipe.rows(0) + place, p.dk, k_chunks, b, at.head, start, p.keys, p.width, dk, {slope, slope});
    store<D, BACK_ROWS>(pipe.rows(1) + place, p.dv, v_chunks, b, at.head, start, p.keys, p.value_width, dv, {p.factor, p.factor});
#endif
}

template <class T, int D> void run_hopper_backward(const Gradient<T>& p) {
    const int key_heads = p.heads / p.group;
    const auto of_queries = [&](auto& x, int width, int rows) { return map_of(x, p.batch, p.heads, p.queries, width, rows); };
    const auto of_keys = [&](auto& x, int width, int rows) { return map_of(x, p.batch, key_heads, p.keys, width, rows); };
    constexpr int K = BACK_KEYS, Q = BACK_QUERIES<D>;
    find_delta(p);
    launch(attention_hopper_dq<T, D>, blocks(int64_t(p.batch) * p.heads * ceil_div(p.queries, BACK_ROWS)), BACK_THREADS, BACK_SHARED<D, K>,
           current_stream, p, of_queries(p.q, p.width, BACK_ROWS), of_queries(p.g, p.value_width, BACK_ROWS), of_keys(p.k, p.width, K),
           of_keys(p.v, p.value_width, K), in_chunks(p.dq));
    launch(attention_hopper_dkv<T, D>, blocks(int64_t(p.batch) * key_heads * ceil_div(p.keys, BACK_ROWS)), BACK_THREADS, BACK_SHARED<D, Q>,
           current_stream, p, of_queries(p.q, p.width, Q), of_queries(p.g, p.value_width, Q), of_keys(p.k, p.width, BACK_ROWS),
           of_keys(p.v, p.value_width, BACK_ROWS), in_chunks(p.dk), in_chunks(p.dv));
}

void hopper_backward(Array& dq, Array& dk, Array& dv, Array& workspace, const Array& g, const Array& q, const Array& k, const Array& v,
                     const Array& out, const Array& lse, const Array& mask, int64_t causal, double scale, int64_t seed, int64_t first_block,
                     int64_t limit, double factor) {
    const Draw draw{seed, first_block, limit, factor};
    by_dtype<__nv_bfloat16, __half>(q.dtype, [&]<class T>() {
        const Gradient<T> p = gradient_of<T>(dq, dk, dv, workspace, g, q, k, v, out, lse, mask, causal, scale, draw);
        by_width<64, 128>(std::max(p.width, p.value_width), [&](auto d) { run_hopper_backward<T, decltype(d)::value>(p); });
    });
}

TG_KERNEL(attention_backward, "cuda/v03_flash_hopper", "bfloat16 float16", hopper_backward, Chips{90, 99})

}  // namespace tg::attention
