// The idea: one thread per element of C walks along a row of A and a column of B.
// Before it: nothing; this is the definition, and the rung the others are measured against.
// Ownership: thread (x, y) owns element (x, y) of its block's 16 x 16 tile: the lanes of a warp go down a column of C.
// Bottleneck: memory transactions. Each lane reads another row of A, a sector of 32 bytes for 4 useful ones.
// Measure: python benchmarks/matmul_ladder.py v00_naive (emulated time)
#include "problem.h"

namespace tg::matmul {

template <class T> __global__ void matmul_naive(const __grid_constant__ Problem<T> problem) {
    const Problem<T> p = problem.of_batch(blockIdx.z);
    const Tile tile = tile_of_block<16, 16>(p);
    const int row = tile.row + threadIdx.x;
    const int column = tile.column + threadIdx.y;
    if (row >= p.M || column >= p.N) return;
    T sum = 0;
    for (int k = 0; k < p.K; ++k) sum += p.A(row, k) * p.B(k, column);
    p.C(row, column) = sum;
}

void naive(Array& out, const Array& a, const Array& b) {
    by_dtype<float, double>(out, a, b, []<class T>(const Problem<T>& p) {
        launch(matmul_naive<T>, grid_of_tiles<16, 16>(p), dim3(16, 16), 0, current_stream, p);
    });
}

TG_KERNEL(matmul, "cuda/v00_naive", "float32 float64", naive)

}  // namespace tg::matmul
