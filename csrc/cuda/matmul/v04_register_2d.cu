// The idea: a thread computes an 8 x 8 patch of C from 8 elements of A and 8 of B that it keeps in registers.
// Before it (v03): nine shared loads for 8 multiply-adds; now 16 for 64.
// Ownership: thread t of 256 owns the patch (8 (t / 16), 8 (t % 16)) of its block's 128 x 128 tile.
// Bottleneck: the loads themselves: one float an instruction, from global as from shared memory, and bank conflicts of stride 8.
// Measure: python benchmarks/matmul_ladder.py v04_register_2d (emulated time)
#include "staging.h"

namespace tg::matmul {

namespace {

constexpr int BM = 128, BN = 128, BK = 8, TM = 8, TN = 8, THREADS = BM / TM * (BN / TN);

}  // namespace

__global__ void __launch_bounds__(THREADS) matmul_register_2d(const __grid_constant__ Problem<float> problem) {
    __shared__ float As[BK][BM];
    __shared__ float Bs[BK][BN];
    const Problem<float> p = problem.of_batch(blockIdx.z);
    const Tile tile = tile_of_block<BM, BN>(p);
    const int thread = threadIdx.x;
    const int row = thread / (BN / TN) * TM, column = thread % (BN / TN) * TN;
    float sum[TM][TN] = {};
    for (int k0 = 0; k0 < p.K; k0 += BK) {
        stage<BK, BM, THREADS>(As, p.A, tile.row, k0, p.M, p.K, thread);
        stage<BK, BN, THREADS>(Bs, p.B.transposed(), tile.column, k0, p.N, p.K, thread);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < BK; ++k) {
            float a[TM], b[TN];
#pragma unroll
            for (int i = 0; i < TM; ++i) a[i] = As[k][row + i];
#pragma unroll
            for (int j = 0; j < TN; ++j) b[j] = Bs[k][column + j];
#pragma unroll
            for (int i = 0; i < TM; ++i)
#pragma unroll
                for (int j = 0; j < TN; ++j) sum[i][j] += a[i] * b[j];
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j)
            if (tile.row + row + i < p.M && tile.column + column + j < p.N) p.C(tile.row + row + i, tile.column + column + j) = sum[i][j];
}

void register_2d(Array& out, const Array& a, const Array& b) {
    for_batches<float>(out, a, b, [](const Problem<float>& p) {
        launch(matmul_register_2d, grid_of_tiles<BM, BN>(p), THREADS, 0, current_stream, p);
    });
}

TG_KERNEL(matmul, "cuda/v04_register_2d", "float32", register_2d)

}  // namespace tg::matmul
