// The idea: give each warp a compact tile of its own, 64 x 32, instead of two full-width stripes.
// Before it (v05): a warp read 8 + 128 floats of shared memory a step of k; now 64 + 32. Steps are 16 deep: half the barriers.
// Ownership: warp w of 8 owns rows 64 (w / 4), columns 32 (w % 4) of the block's 128 x 128 tile; its lanes as in warp_tile.h.
// Bottleneck: the wait for global memory at the start of every step.
// Measure: python benchmarks/matmul_ladder.py v06_warp_tile (emulated time)
#include "warp_tile.h"

namespace tg::matmul {

namespace {

constexpr int BM = 128, BN = 128, BK = 16, THREADS = 256, PAD = 4;

}  // namespace

__global__ void __launch_bounds__(THREADS) matmul_warp_tile(const __grid_constant__ Problem<float> problem, Quads a_way, Quads b_way) {
    __shared__ __align__(16) float As[BK][BM + PAD];
    __shared__ __align__(16) float Bs[BK][BN + PAD];
    const Problem<float> p = problem.of_batch(blockIdx.z);
    const Tile tile = tile_of_block<BM, BN>(p);
    const int thread = threadIdx.x, warp = thread / 32;
    WarpTile c(warp / 4 * 64, warp % 4 * 32, thread % 32);
    for (int k0 = 0; k0 < p.K; k0 += BK) {
        Staged<BK, BM, THREADS> a;
        Staged<BK, BN, THREADS> b;
        a.load(p.A, a_way, tile.row, k0, p.M, p.K, thread);
        b.load(p.B.transposed(), b_way, tile.column, k0, p.N, p.K, thread);
        a.store(As, a_way, thread);
        b.store(Bs, b_way, thread);
        __syncthreads();
        c.add(As, Bs);
        __syncthreads();
    }
    c.store(p, tile);
}

void warp_tile(Array& out, const Array& a, const Array& b) {
    for_batches<float>(out, a, b, [](const Problem<float>& p) {
        const Quads a_way = quads_of(p.A), b_way = quads_of(p.B.transposed());
        launch(matmul_warp_tile, grid_of_tiles<BM, BN>(p), THREADS, 0, current_stream, p, a_way, b_way);
    });
}

TG_KERNEL(matmul, "cuda/v06_warp_tile", "float32", warp_tile)

}  // namespace tg::matmul
