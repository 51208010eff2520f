// The idea: one thread per element of C walks along a row of A and a column of B.
// Before it: nothing; this is the definition, and the rung the others are measured against.
// Ownership: thread (x, y) of block (x, y) owns C[16 block.x + x][16 block.y + y]: neighbours in a warp sit in one column of C.
// Bottleneck: memory transactions. The 32 lanes of a warp read rows of A far apart, a sector each, for 4 useful bytes.
// Measure: tensorgrad lab matmul --kernel cuda/v00_naive --shape 512x512,512x512
#include "problem.h"

namespace tg::matmul {

template <class T> __global__ void matmul_naive(const __grid_constant__ Problem<T> problem) {
    const Problem<T> p = problem.of_batch(blockIdx.z);
    const int row = blockIdx.x * blockDim.x + threadIdx.x;
    const int column = blockIdx.y * blockDim.y + threadIdx.y;
    if (row >= p.M || column >= p.N) return;
    T sum = 0;
    for (int k = 0; k < p.K; ++k) sum += p.A(row, k) * p.B(k, column);
    p.C(row, column) = sum;
}

void naive(Array& out, const Array& a, const Array& b) {
    by_dtype<float, double>(out, a, b, []<class T>(const Problem<T>& p) {
        const dim3 grid(ceil_div(p.M, 16), ceil_div(p.N, 16), p.batches);
        launch(matmul_naive<T>, grid, dim3(16, 16), 0, current_stream, p);
    });
}

TG_KERNEL(matmul, "cuda/v00_naive", "float32 float64", naive)

}  // namespace tg::matmul
