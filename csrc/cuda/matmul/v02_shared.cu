// The idea: a block loads a tile of A and a tile of B into shared memory once, and all its threads use them.
// Before it (v01): each element came from global memory for every product; now once per tile, so 32 times less often.
// Ownership: thread (x, y) owns element (y, x) of its block's 32 x 32 tile, and loads one element of each operand a step.
// Bottleneck: shared memory. Two loads for each multiply-add; the arithmetic units wait.
// Measure: python benchmarks/matmul_ladder.py v02_shared (emulated time)
#include "problem.h"

namespace tg::matmul {

constexpr int SIDE = 32;

template <class T> __global__ void __launch_bounds__(SIDE * SIDE) matmul_shared(const __grid_constant__ Problem<T> problem) {
    __shared__ T As[SIDE][SIDE];
    __shared__ T Bs[SIDE][SIDE];
    const Problem<T> p = problem.of_batch(blockIdx.z);
    const Tile tile = tile_of_block<SIDE, SIDE>(p);
    const int x = threadIdx.x, y = threadIdx.y;
    const int row = tile.row + y, column = tile.column + x;
    T sum = 0;
    for (int k0 = 0; k0 < p.K; k0 += SIDE) {
        As[y][x] = row < p.M && k0 + x < p.K ? p.A(row, k0 + x) : T(0);
        Bs[y][x] = k0 + y < p.K && column < p.N ? p.B(k0 + y, column) : T(0);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < SIDE; ++k) sum += As[y][k] * Bs[k][x];
        __syncthreads();  // nobody may overwrite a tile that others still read
    }
    if (row < p.M && column < p.N) p.C(row, column) = sum;
}

void shared(Array& out, const Array& a, const Array& b) {
    by_dtype<float, double>(out, a, b, []<class T>(const Problem<T>& p) {
        launch(matmul_shared<T>, grid_of_tiles<SIDE, SIDE>(p), dim3(SIDE, SIDE), 0, current_stream, p);
    });
}

TG_KERNEL(matmul, "cuda/v02_shared", "float32 float64", shared)

}  // namespace tg::matmul
