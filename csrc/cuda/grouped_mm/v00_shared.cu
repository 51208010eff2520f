// The idea: one launch for all groups. A block looks up where groups end, finds its tile's group and multiplies as matmul's v02 does.
// Before it: a launch a group, of sizes that the host must read first; small groups left most of a GPU idle.
// Ownership: thread (x, y) owns element (y, x) of its block's 32 x 32 tile, and loads one element of each operand a step.
// Bottleneck: shared memory, two loads for each multiply-add; tiles at the ends of groups are partly empty.
// Measure: TG_KERNELS=grouped_mm=cuda/v00_shared python -m pytest tests/test_emu_ops.py -k grouped_mm --durations=5 (emulated time)
#include "groups.h"

namespace tg::grouped_mm {

constexpr int SIDE = 32;

template <class T> __global__ void __launch_bounds__(SIDE * SIDE) grouped_mm_shared(const __grid_constant__ Problem<T> problem) {
    using Sum = Wide<T>;
    __shared__ Sum As[SIDE][SIDE];
    __shared__ Sum Bs[SIDE][SIDE];
    const Place<T> place = place_of_block<SIDE, SIDE>(problem);
    if (!place.there) return;
    const matmul::Problem<T>& p = place.p;
    const int x = threadIdx.x, y = threadIdx.y;
    const int row = place.row + y, column = place.column + x;
    Sum sum = 0;
    for (int k0 = 0; k0 < p.K; k0 += SIDE) {
        As[y][x] = row < p.M && k0 + x < p.K ? Sum(p.A(row, k0 + x)) : Sum(0);
        Bs[y][x] = k0 + y < p.K && column < p.N ? Sum(p.B(k0 + y, column)) : Sum(0);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < SIDE; ++k) sum += As[y][k] * Bs[k][x];
        __syncthreads();  // nobody may overwrite a tile that others still read
    }
    if (row < p.M && column < p.N) p.C(row, column) = T(sum);
}

void shared(Array& out, const Array& a, const Array& b, const Array& ends) {
    device::by_dtype(out.dtype, [&]<class T>() {
        const Problem<T> p = problem_of<T>(out, a, b, ends);
        if (out.size()) launch(grouped_mm_shared<T>, most_tiles<SIDE, SIDE>(p), dim3(SIDE, SIDE), 0, current_stream, p);
    });
}

TG_KERNEL(grouped_mm, "cuda/v00_shared", "float32 float64 bfloat16 float16", shared)

}  // namespace tg::grouped_mm
