// The idea: the tensor cores multiply 16 x 8 x 16 pieces; cp.async keeps three steps of tiles in flight without using registers.
// Before it (v07): one multiply-add an instruction and lane; now 64, from 16-bit operands into fp32 sums.
// Ownership: warp w of 8 owns rows 64 (w / 4), columns 32 (w % 4) of the block's 128 x 128 tile, as 4 x 4 pieces of 16 x 8.
// Bottleneck: shared memory, which every warp reads its operands from; Hopper's wgmma reads it in place.
// Measure: python benchmarks/matmul_ladder.py v08_tensor_core (emulated time)
#include "epilogue.h"
#include "tensor_tile.h"

namespace tg::matmul {

namespace {

constexpr int BM = 128, BN = 128, THREADS = 256, STAGES = 3;
template <class T> constexpr int BK = 64 / sizeof(T);       // 64 bytes of k a step
template <class T> constexpr int MMA_K = 32 / sizeof(T);    // of one instruction
template <class T> using TileA = TensorTile<T, BM, BK<T>, THREADS>;
template <class T> using TileB = TensorTile<T, BN, BK<T>, THREADS>;
template <class T> constexpr size_t SHARED = STAGES * (TileA<T>::SIZE + TileB<T>::SIZE) * sizeof(T);

}  // namespace

template <class T, class E>
__global__ void __launch_bounds__(THREADS)
    matmul_tensor_core(const __grid_constant__ Problem<T> problem, Chunks a_way, Chunks b_way, const __grid_constant__ E epilogue) {
#ifndef TG_NO_AMPERE
    DYNAMIC_SHARED(T, shared);
    T* const As = shared;
    T* const Bs = shared + STAGES * TileA<T>::SIZE;
    const Problem<T> p = problem.of_batch(blockIdx.z);
    const Matrix<const T> bt = p.B.transposed();
    const Tile tile = tile_of_block<BM, BN>(p);
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
    const int row = warp / 4 * 64, column = warp % 4 * 32;
    const int steps = ceil_div(p.K, BK<T>);

    const auto load = [&](int step) {  // one group a step, an empty one past the end
        if (step < steps) {
            TileA<T>::load(As + step % STAGES * TileA<T>::SIZE, p.A, a_way, tile.row, step * BK<T>, p.M, p.K, thread);
            TileB<T>::load(Bs + step % STAGES * TileB<T>::SIZE, bt, b_way, tile.column, step * BK<T>, p.N, p.K, thread);
        }
        device::cp_async_commit();
    };

    float sum[4][4][4] = {};
    for (int s = 0; s < STAGES - 1; ++s) load(s);
    for (int step = 0; step < steps; ++step) {
        device::cp_async_wait<STAGES - 2>();
        __syncthreads();  // everybody's copies of this step are there, and nobody reads the buffer that is filled next
        load(step + STAGES - 1);
        const T* A = As + step % STAGES * TileA<T>::SIZE;
        const T* B = Bs + step % STAGES * TileB<T>::SIZE;
#pragma unroll
        for (int k = 0; k < BK<T>; k += MMA_K<T>) {
            unsigned a[4][4], b[2][4];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                TileA<T>::template fragment<true>(a[i], A, a_way, row + i * 16, k, lane);
                round_operand<T>(a[i]);
            }
#pragma unroll
            for (int j = 0; j < 2; ++j) {
                TileB<T>::template fragment<false>(b[j], B, b_way, column + j * 16, k, lane);
                round_operand<T>(b[j]);
            }
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    const unsigned half[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
                    multiply_add(sum[i][j], a[i], half, T());
                }
        }
    }

    // Lane 4 g + t holds two neighbours in each of the rows g and g + 8 of every piece.
    const E finish = epilogue.of_batch(problem, blockIdx.z);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int r = tile.row + row + i * 16 + lane / 4 + e / 2 * 8;
                const int c = tile.column + column + j * 8 + lane % 4 * 2 + e % 2;
                if (r < p.M && c < p.N) p.C(r, c) = T(finish(sum[i][j][e], r, c));
            }
#endif
}

struct TensorCore {
    template <class T, class E> void operator()(const Problem<T>& p, const E& epilogue) const {
        const Chunks a_way = chunks_of(p.A), b_way = chunks_of(p.B.transposed());
        launch(matmul_tensor_core<T, E>, grid_of_tiles<BM, BN>(p), THREADS, SHARED<T>, current_stream, p, a_way, b_way, epilogue);
    }
};

TG_KERNEL(matmul, "cuda/v08_tensor_core", "bfloat16 float16", (plain<TensorCore, __nv_bfloat16, __half>), Chips{80})
TG_KERNEL(matmul, "cuda/v08_tensor_core_tf32", "float32", (plain<TensorCore, float>), Chips{80})
TG_KERNEL(gemm, "cuda/v08_tensor_core", "bfloat16 float16", (fused<TensorCore, __nv_bfloat16, __half>), Chips{80})
TG_KERNEL(gemm, "cuda/v08_tensor_core_tf32", "float32", (fused<TensorCore, float>), Chips{80})

}  // namespace tg::matmul
