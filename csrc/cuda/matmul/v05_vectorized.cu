// The idea: move four floats an instruction, from global to shared memory and from shared memory to registers.
// Before it (v04): four times the load instructions. Padded rows spread the transposing stores of k-fastest operands over the banks.
// Ownership: thread t of 256 owns four 4 x 4 patches, 64 rows and columns apart, so that a warp reads neighbouring quads.
// Bottleneck: the wait for global memory at the start of every step.
// Measure: python benchmarks/matmul_ladder.py v05_vectorized (emulated time)
#include "staging.h"

namespace tg::matmul {

namespace {

constexpr int BM = 128, BN = 128, BK = 8, THREADS = 256, PAD = 4;

}  // namespace

__global__ void __launch_bounds__(THREADS) matmul_vectorized(const __grid_constant__ Problem<float> problem, Quads a_way, Quads b_way) {
    __shared__ __align__(16) float As[BK][BM + PAD];
    __shared__ __align__(16) float Bs[BK][BN + PAD];
    const Problem<float> p = problem.of_batch(blockIdx.z);
    const Tile tile = tile_of_block<BM, BN>(p);
    const int thread = threadIdx.x;
    const int row = thread / 16 * 4, column = thread % 16 * 4;
    float sum[2][2][4][4] = {};
    for (int k0 = 0; k0 < p.K; k0 += BK) {
        Staged<BK, BM, THREADS> a;
        Staged<BK, BN, THREADS> b;
        a.load(p.A, a_way, tile.row, k0, p.M, p.K, thread);
        b.load(p.B.transposed(), b_way, tile.column, k0, p.N, p.K, thread);
        a.store(As, a_way, thread);
        b.store(Bs, b_way, thread);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < BK; ++k) {
            float af[2][4], bf[2][4];
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                *reinterpret_cast<float4*>(af[half]) = *reinterpret_cast<const float4*>(&As[k][half * 64 + row]);
                *reinterpret_cast<float4*>(bf[half]) = *reinterpret_cast<const float4*>(&Bs[k][half * 64 + column]);
            }
#pragma unroll
            for (int h = 0; h < 2; ++h)
#pragma unroll
                for (int w = 0; w < 2; ++w)
#pragma unroll
                    for (int i = 0; i < 4; ++i)
#pragma unroll
                        for (int j = 0; j < 4; ++j) sum[h][w][i][j] += af[h][i] * bf[w][j];
        }
        __syncthreads();
    }
#pragma unroll
    for (int h = 0; h < 2; ++h)
#pragma unroll
        for (int w = 0; w < 2; ++w)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float* s = sum[h][w][i];
                store_quad(p, tile.row + h * 64 + row + i, tile.column + w * 64 + column, make_float4(s[0], s[1], s[2], s[3]));
            }
}

void vectorized(Array& out, const Array& a, const Array& b) {
    for_batches<float>(out, a, b, [](const Problem<float>& p) {
        const Quads a_way = quads_of(p.A), b_way = quads_of(p.B.transposed());
        launch(matmul_vectorized, grid_of_tiles<BM, BN>(p), THREADS, 0, current_stream, p, a_way, b_way);
    });
}

TG_KERNEL(matmul, "cuda/v05_vectorized", "float32", vectorized)

}  // namespace tg::matmul
