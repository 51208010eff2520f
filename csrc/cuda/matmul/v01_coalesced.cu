// The idea: let the lanes of a warp go along a row of C instead of down a column.
// Before it (v00): x and y change places. Now the lanes read one element of A together and 32 neighbours of a row of B.
// Ownership: thread (x, y) owns element (y, x) of its block's 8 x 32 tile; a warp owns a row of it.
// Bottleneck: every element still comes from global memory (or its cache) once for each product it takes part in.
// Measure: python benchmarks/matmul_ladder.py v01_coalesced (emulated time)
#include "problem.h"

namespace tg::matmul {

template <class T> __global__ void matmul_coalesced(const __grid_constant__ Problem<T> problem) {
    const Problem<T> p = problem.of_batch(blockIdx.z);
    const Tile tile = tile_of_block<8, 32>(p);
    const int row = tile.row + threadIdx.y;
    const int column = tile.column + threadIdx.x;
    if (row >= p.M || column >= p.N) return;
    T sum = 0;
    for (int k = 0; k < p.K; ++k) sum += p.A(row, k) * p.B(k, column);
    p.C(row, column) = sum;
}

void coalesced(Array& out, const Array& a, const Array& b) {
    by_dtype<float, double>(out, a, b, []<class T>(const Problem<T>& p) {
        launch(matmul_coalesced<T>, grid_of_tiles<8, 32>(p), dim3(32, 8), 0, current_stream, p);
    });
}

TG_KERNEL(matmul, "cuda/v01_coalesced", "float32 float64", coalesced)

}  // namespace tg::matmul
