// The idea: a thread computes 8 elements of a column of C, so that an element of B it has read serves 8 products.
// Before it (v02): two shared loads a multiply-add; now nine for eight.
// Ownership: thread t of 512 owns column t % 64 and rows 8 (t / 64) to + 7 of its block's 64 x 64 tile; a warp spans 32 columns.
// Bottleneck: shared memory still, for the elements of A.
// Measure: python benchmarks/matmul_ladder.py v03_register_1d (emulated time)
#include "staging.h"

namespace tg::matmul {

namespace {

constexpr int BM = 64, BN = 64, BK = 8, TM = 8, THREADS = BM * BN / TM;

}  // namespace

__global__ void __launch_bounds__(THREADS) matmul_register_1d(const __grid_constant__ Problem<float> problem) {
    __shared__ float As[BK][BM];
    __shared__ float Bs[BK][BN];
    const Problem<float> p = problem.of_batch(blockIdx.z);
    const Tile tile = tile_of_block<BM, BN>(p);
    const int thread = threadIdx.x;
    const int column = thread % BN, row = thread / BN * TM;
    float sum[TM] = {};
    for (int k0 = 0; k0 < p.K; k0 += BK) {
        stage<BK, BM, THREADS>(As, p.A, tile.row, k0, p.M, p.K, thread);
        stage<BK, BN, THREADS>(Bs, p.B.transposed(), tile.column, k0, p.N, p.K, thread);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < BK; ++k) {
            const float b = Bs[k][column];
#pragma unroll
            for (int i = 0; i < TM; ++i) sum[i] += As[k][row + i] * b;
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < TM; ++i)
        if (tile.row + row + i < p.M && tile.column + column < p.N) p.C(tile.row + row + i, tile.column + column) = sum[i];
}

void register_1d(Array& out, const Array& a, const Array& b) {
    for_batches<float>(out, a, b, [](const Problem<float>& p) {
        launch(matmul_register_1d, grid_of_tiles<BM, BN>(p), THREADS, 0, current_stream, p);
    });
}

TG_KERNEL(matmul, "cuda/v03_register_1d", "float32", register_1d)

}  // namespace tg::matmul
