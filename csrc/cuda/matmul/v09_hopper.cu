// The idea: specialists. One warpgroup only fetches tiles (TMA), two only multiply (wgmma, from shared memory); mbarriers join them.
// Before it (v08): every warp fetched, waited and multiplied in turn, and read its operands into registers first.
// Ownership: consumer warpgroup w of 2 owns rows 64 w of the block's 128 x 128 tile; the registers are wgmma's.
// Bottleneck: the epilogue, during which the tensor cores rest: persistent blocks would overlap it.
// Measure: python benchmarks/matmul_ladder.py v09_hopper (emulated time)
#include "epilogue.h"
#include "hopper_operands.h"

namespace tg::matmul {

using namespace hopper;

namespace {

constexpr int BM = 128, BN = 128, STAGES = 4, THREADS = 3 * 128, CONSUMER_WARPS = 8;
template <class T> constexpr int BK = ROW<T>;           // of a step; a product takes a quarter of it
template <class T> constexpr int TILE = 128 * BK<T>;    // elements of a tile of either operand: 16 KiB
template <class T> constexpr int HALF = TILE<T> / 2;    // i-fastest tiles are two boxes of 64
constexpr unsigned STEP_BYTES = 2 * 128 * 128;
constexpr size_t SHARED = STAGES * STEP_BYTES;

}  // namespace

template <class T, class E>
__global__ void __launch_bounds__(THREADS)
    matmul_hopper(const __grid_constant__ Problem<T> p, const __grid_constant__ CUtensorMap a_map,
                  const __grid_constant__ CUtensorMap b_map, Feed a_feed, Feed b_feed, const __grid_constant__ E epilogue) {
#ifndef TG_NO_HOPPER
    DYNAMIC_SHARED(T, tiles);
    __shared__ uint64_t full[STAGES], empty[STAGES];
    const Tile tile = tile_of_block<BM, BN>(p);
    const int thread = threadIdx.x % 128, group = threadIdx.x / 128;
    const int steps = ceil_div(p.K, BK<T>);
    const bool alone = a_feed != Feed::by_hand && b_feed != Feed::by_hand;  // one producer thread is enough
    const unsigned bytes = (a_feed != Feed::by_hand ? STEP_BYTES / 2 : 0) + (b_feed != Feed::by_hand ? STEP_BYTES / 2 : 0);
    if (threadIdx.x == 0) {
        for (int s = 0; s < STAGES; ++s) {
            device::mbarrier_init(&full[s], (bytes ? 1 : 0) + (alone ? 0 : 128));  // who announces the TMA's bytes, who writes by hand
            device::mbarrier_init(&empty[s], CONSUMER_WARPS);
        }
        device::fence_mbarrier_init();
    }
    __syncthreads();

    if (group == 0) {  // producers
        device::fewer_registers<40>();
        if (alone && thread != 0) return;
        for (int step = 0; step < steps; ++step) {
            const int s = step % STAGES;
            T* const A = tiles + s * 2 * TILE<T>;
            device::mbarrier_wait(&empty[s], (step / STAGES + 1) % 2);  // the first time round at once
            if (thread == 0 && bytes) device::mbarrier_arrive_expect(&full[s], bytes);
            feed_tile<BM>(A, p.A, a_map, a_feed, tile.row, step * BK<T>, p.M, p.K, &full[s], thread);
            feed_tile<BN>(A + TILE<T>, p.B.transposed(), b_map, b_feed, tile.column, step * BK<T>, p.N, p.K, &full[s], thread);
            if (!alone) {
                device::fence_async_proxy();
                device::mbarrier_arrive(&full[s]);
            }
        }
        return;
    }

    device::more_registers<232>();  // consumers
    const int warpgroup = group - 1, lane = thread % 32;
    float sum[64] = {};
    for (int step = 0; step < steps; ++step) {
        const int s = step % STAGES;
        const T* A = tiles + s * 2 * TILE<T> + warpgroup * HALF<T>;  // 64 rows of k, or the box of 64 i: the same place
        const T* B = tiles + s * 2 * TILE<T> + TILE<T>;
        device::mbarrier_wait(&full[s], step / STAGES % 2);
        multiply_stage(sum, A, B, a_feed, b_feed);
        device::wgmma_wait<1>();  // the step before is done: its buffers are free
        if (step > 0 && lane == 0) device::mbarrier_arrive(&empty[(step - 1) % STAGES]);
    }
    device::wgmma_wait<0>();

    const int row = tile.row + warpgroup * 64 + thread / 32 * 16 + lane / 4, column = tile.column + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < 64; ++j) {
        const int r = row + j % 4 / 2 * 8, c = column + j / 4 * 8 + j % 2;
        if (r < p.M && c < p.N) p.C(r, c) = T(epilogue(sum[j], r, c));
    }
#endif
}

struct Hopper {
    template <class T, class E> void operator()(const Problem<T>& all, const E& epilogue) const {
        for_matrices(all, BM, BN, [&](const Problem<T>& p, int batch, Feed a, Feed b, const CUtensorMap& a_map, const CUtensorMap& b_map) {
            launch(matmul_hopper<T, E>, grid_of_tiles<BM, BN>(p), THREADS, SHARED, current_stream, p, a_map, b_map, a, b,
                   epilogue.of_batch(all, batch));
        });
    }
};

TG_KERNEL(matmul, "cuda/v09_hopper", "bfloat16 float16", (plain<Hopper, __nv_bfloat16, __half>), Chips{90, 99})
TG_KERNEL(matmul, "cuda/v09_hopper_tf32", "float32", (plain<Hopper, float>), Chips{90, 99})
TG_KERNEL(gemm, "cuda/v09_hopper", "bfloat16 float16", (fused<Hopper, __nv_bfloat16, __half>), Chips{90, 99})
TG_KERNEL(gemm, "cuda/v09_hopper_tf32", "float32", (fused<Hopper, float>), Chips{90, 99})

}  // namespace tg::matmul
