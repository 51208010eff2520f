// The idea: blocks that stay. Each multiprocessor has one block, which computes tile after tile; while its consumers store one, its
// producers fetch the next. Before it (v09): a block a tile; its epilogue left the tensor cores idle. C now leaves by TMA as well.
// Ownership: block b owns the 128 x 256 tiles b, b + gridDim.x, ... of the raster; consumer warpgroup w of 2 their rows 64 w.
// Bottleneck: L2: every block fetches all of its operands, and neighbours fetch the same ones.
// Measure: python benchmarks/matmul_ladder.py v10_persistent (emulated time)
#include "hopper_tile.h"

namespace tg::matmul {

using namespace hopper;

template <class T, class E>
__global__ void __launch_bounds__(THREADS)
    matmul_persistent(const __grid_constant__ Problem<T> p, const __grid_constant__ CUtensorMap a_map,
                      const __grid_constant__ CUtensorMap b_map, const __grid_constant__ CUtensorMap c_map, Feed a_feed, Feed b_feed,
                      bool tma_stores, Raster raster, const __grid_constant__ E epilogue) {
#ifndef TG_NO_HOPPER
    DYNAMIC_SHARED(T, tiles);
    __shared__ uint64_t full[STAGES], empty[STAGES];
    const int thread = threadIdx.x % 128, group = threadIdx.x / 128, lane = thread % 32;
    const int steps = ceil_div(p.K, BK);
    const bool alone = a_feed != Feed::by_hand && b_feed != Feed::by_hand;  // one producer thread is enough
    const unsigned bytes = (a_feed != Feed::by_hand ? TILE_A * 2 : 0) + (b_feed != Feed::by_hand ? TILE_B * 2 : 0);
    if (threadIdx.x == 0) {
        for (int s = 0; s < STAGES; ++s) {
            device::mbarrier_init(&full[s], (bytes ? 1 : 0) + (alone ? 0 : 128));  // who announces the TMA's bytes, who writes by hand
            device::mbarrier_init(&empty[s], CONSUMER_WARPS);
        }
        device::fence_mbarrier_init();
    }
    __syncthreads();

    int row, column, step = 0;  // steps are counted on from tile to tile: they say which stage and which phase
    if (group == 0) {           // producers
        device::fewer_registers<40>();
        if (alone && thread != 0) return;
        for (int tile = blockIdx.x; tile < raster.tiles(); tile += gridDim.x) {
            raster.place(tile, row, column);
            for (int k = 0; k < p.K; k += BK, ++step) {
                const int s = step % STAGES;
                T* const A = tiles + s * STAGE;
                device::mbarrier_wait(&empty[s], (step / STAGES + 1) % 2);  // the first time round at once
                if (thread == 0 && bytes) device::mbarrier_arrive_expect(&full[s], bytes);
                feed_tile<BM>(A, p.A, a_map, a_feed, row * BM, k, p.M, p.K, &full[s], thread);
                feed_tile<BN>(A + TILE_A, p.B.transposed(), b_map, b_feed, column * BN, k, p.N, p.K, &full[s], thread);
                if (!alone) {
                    device::fence_async_proxy();
                    device::mbarrier_arrive(&full[s]);
                }
            }
        }
        return;
    }

    device::more_registers<232>();  // consumers
    const int warpgroup = group - 1;
    T* const out = tiles + STAGES * STAGE + warpgroup * OUT_BOXES * BOX;
    int stores = 0;
    for (int tile = blockIdx.x; tile < raster.tiles(); tile += gridDim.x) {
        raster.place(tile, row, column);
        float sum[128] = {};
        for (const int last = step + steps; step < last; ++step) {
            const T* A = tiles + step % STAGES * STAGE;
            device::mbarrier_wait(&full[step % STAGES], step / STAGES % 2);
            multiply_stage(sum, A + warpgroup * BOX, A + TILE_A, a_feed, b_feed);
            device::wgmma_wait<1>();  // the step before is done: its stage is free
            if (step > last - steps && lane == 0) device::mbarrier_arrive(&empty[(step - 1) % STAGES]);
        }
        device::wgmma_wait<0>();
        if (steps && lane == 0) device::mbarrier_arrive(&empty[(step - 1) % STAGES]);
        if (tma_stores) store_boxes(sum, p, epilogue, c_map, out, row * BM + warpgroup * 64, column * BN, warpgroup, thread, stores);
        else store_elements(sum, p, epilogue, row * BM + warpgroup * 64, column * BN, thread);
    }
    if (thread == 0) device::tma_store_wait_read<0>();  // shared memory must outlive the stores
#endif
}

struct Persistent {
    template <class T, class E> void operator()(const Problem<T>& all, const E& epilogue) const {
        for_matrices(all, BM, BN, [&](const Problem<T>& p, int batch, Feed a, Feed b, const CUtensorMap& a_map, const CUtensorMap& b_map) {
            const bool tma_stores = tma_can_reach(p.C.data, p.C.right, p.C.down);
            const CUtensorMap c_map = tma_stores ? device::tensor_map(p.C.data, p.M, p.N, p.C.down, 64) : CUtensorMap{};
            const Raster raster = raster_of(ceil_div(p.M, BM), ceil_div(p.N, BN));
            const int blocks = raster.tiles() < multiprocessors() ? raster.tiles() : multiprocessors();
            launch(matmul_persistent<T, E>, blocks, THREADS, SHARED, current_stream, p, a_map, b_map, c_map, a, b, tma_stores, raster,
                   epilogue.of_batch(all, batch));
        });
    }
};

TG_KERNEL(matmul, "cuda/v10_persistent", "bfloat16 float16", (plain<Persistent, __nv_bfloat16, __half>), Chips{90, 99})
TG_KERNEL(gemm, "cuda/v10_persistent", "bfloat16 float16", (fused<Persistent, __nv_bfloat16, __half>), Chips{90, 99})

}  // namespace tg::matmul
