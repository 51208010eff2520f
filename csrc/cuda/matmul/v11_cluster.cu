// The idea: two blocks one above the other share a tile of B. Each fetches half of it, and multicast brings it into both.
// Before it (v10): every block fetched all of A and B; now a pair fetches two thirds of that.
// Ownership: cluster c owns pairs of tiles c, c + clusters, ... of the raster, its block r the 128 x 256 tile in row 2 pair + r.
// Bottleneck: the tensor cores, where K is long; else the first loads and the last store, which nothing overlaps.
// Measure: python benchmarks/matmul_ladder.py v11_cluster (emulated time)
#include "../../device/cluster.cuh"
#include "hopper_tile.h"

namespace tg::matmul {

using namespace hopper;

namespace {

constexpr int CLUSTER = 2;
constexpr unsigned BOTH = (1 << CLUSTER) - 1;
constexpr int SHARE = BN / CLUSTER;  // columns of B that a block fetches for both

// B is shared: this block's half goes to the same place in both blocks and signals the barrier of each. By hand, each writes its own.
template <class T>
__device__ void feed_b(T* tile, const Matrix<const T>& m, const CUtensorMap& map, Feed feed, int first, int k0, int length, int K,
                       uint64_t* full, int thread, int rank) {
    if (feed == Feed::by_hand) return write_tile<BN>(tile, m, first, k0, length, K, thread);
    if (thread != 0) return;
    const int mine = rank * SHARE;
    if (feed == Feed::tma_along_k) return device::tma_load_multicast_2d(tile + mine * BK, map, k0, first + mine, full, BOTH);
    for (int i = mine; i < mine + SHARE; i += 64) device::tma_load_multicast_2d(tile + i * BK, map, first + i, k0, full, BOTH);
}

// A consumer warp no longer reads a stage: both blocks' producers, who write into it, must hear of it.
__device__ void free_stage(uint64_t* empty, int lane) {
    if (lane < CLUSTER) device::mbarrier_arrive_remote(device::map_to_rank(empty, lane));
}

}  // namespace

template <class T, class E>
__global__ void __launch_bounds__(THREADS)
    matmul_cluster(const __grid_constant__ Problem<T> p, const __grid_constant__ CUtensorMap a_map,
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
            device::mbarrier_init(&empty[s], CLUSTER * CONSUMER_WARPS);
        }
        device::fence_mbarrier_init();
    }
    device::cluster_arrive();
    device::cluster_wait();  // both blocks' barriers are there

    const int rank = int(device::cluster_rank()), first = int(blockIdx.x) / CLUSTER, clusters = int(gridDim.x) / CLUSTER;
    int row, column, step = 0;  // steps are counted on from tile to tile: they say which stage and which phase
    if (group == 0) {           // producers
        device::fewer_registers<40>();
        for (int pair = alone && thread != 0 ? raster.tiles() : first; pair < raster.tiles(); pair += clusters) {
            raster.place(pair, row, column);
            row = row * CLUSTER + rank;
            for (int k = 0; k < p.K; k += BK, ++step) {
                const int s = step % STAGES;
                T* const A = tiles + s * STAGE;
                device::mbarrier_wait_cluster(&empty[s], (step / STAGES + 1) % 2);  // the first time round at once
                if (thread == 0 && bytes) device::mbarrier_arrive_expect(&full[s], bytes);
                feed_tile<BM>(A, p.A, a_map, a_feed, row * BM, k, p.M, p.K, &full[s], thread);
                feed_b(A + TILE_A, p.B.transposed(), b_map, b_feed, column * BN, k, p.N, p.K, &full[s], thread, rank);
                if (!alone) {
                    device::fence_async_proxy();
                    device::mbarrier_arrive(&full[s]);
                }
            }
        }
    } else {  // consumers
        device::more_registers<232>();
        const int warpgroup = group - 1;
        T* const out = tiles + STAGES * STAGE + warpgroup * OUT_BOXES * BOX;
        int stores = 0;
        for (int pair = first; pair < raster.tiles(); pair += clusters) {
            raster.place(pair, row, column);
            row = row * CLUSTER + rank;
            float sum[128] = {};
            for (const int last = step + steps; step < last; ++step) {
                const T* A = tiles + step % STAGES * STAGE;
                device::mbarrier_wait(&full[step % STAGES], step / STAGES % 2);
                multiply_stage(sum, A + warpgroup * BOX, A + TILE_A, a_feed, b_feed);
                device::wgmma_wait<1>();  // the step before is done: its stage is free
                if (step > last - steps) free_stage(&empty[(step - 1) % STAGES], lane);
            }
            device::wgmma_wait<0>();
            if (steps) free_stage(&empty[(step - 1) % STAGES], lane);
            if (tma_stores) store_boxes(sum, p, epilogue, c_map, out, row * BM + warpgroup * 64, column * BN, warpgroup, thread, stores);
            else store_elements(sum, p, epilogue, row * BM + warpgroup * 64, column * BN, thread);
        }
        if (thread == 0) device::tma_store_wait_read<0>();  // shared memory must outlive the stores
    }
    device::cluster_arrive();
    device::cluster_wait();  // and the other block's copies into it, and arrivals
#endif
}

struct Cluster {
    template <class T, class E> void operator()(const Problem<T>& all, const E& epilogue) const {
        for_matrices(all, BM, SHARE, [&](const Problem<T>& p, int batch, Feed a, Feed b, const CUtensorMap& a_map, const CUtensorMap& b_map) {
            const bool tma_stores = tma_can_reach(p.C.data, p.C.right, p.C.down);
            const CUtensorMap c_map = tma_stores ? device::tensor_map(p.C.data, p.M, p.N, p.C.down, 64) : CUtensorMap{};
            const Raster raster = raster_of(ceil_div(p.M, CLUSTER * BM), ceil_div(p.N, BN));  // of pairs; the last may be half outside
            const int room = multiprocessors() / CLUSTER, clusters = raster.tiles() < room ? raster.tiles() : room;
            launch_clusters(matmul_cluster<T, E>, CLUSTER * clusters, CLUSTER, THREADS, SHARED, current_stream, p, a_map, b_map, c_map,
                            a, b, tma_stores, raster, epilogue.of_batch(all, batch));
        });
    }
};

TG_KERNEL(matmul, "cuda/v11_cluster", "bfloat16 float16", (plain<Cluster, __nv_bfloat16, __half>), Chips{90, 99})
TG_KERNEL(gemm, "cuda/v11_cluster", "bfloat16 float16", (fused<Cluster, __nv_bfloat16, __half>), Chips{90, 99})

}  // namespace tg::matmul
