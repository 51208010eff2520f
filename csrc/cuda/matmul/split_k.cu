// The idea: where C has few tiles and K is long, blocks share K too; a second kernel adds the parts of each sum, always in one order.
// Before it (v07, v08): one block a tile. A product (128, K) by (K, 128) kept one multiprocessor busy and let the others rest.
// Ownership: layer s of the grid owns part s of K; warp w of 4 owns rows 64 (w / 2), columns 32 (w % 2) of a block's 128 x 64 tile.
// Bottleneck: the way of the parts through memory, 2 S floats an element of C: too many parts cost more than they bring.
// Measure: python benchmarks/matmul_ladder.py split_k (emulated time)
#include "../../device/mma.cuh"
#include "epilogue.h"
#include "tensor_tile.h"
#include "warp_tile.h"

namespace tg::matmul {

struct Parts {
    float* sums;   // (part, batch, row, column)
    int64_t size;  // of one part
    int length;    // of K in a part
};

__device__ float& part_of(const Parts& parts, int64_t M, int64_t N, int row, int column) {
    return parts.sums[blockIdx.y * parts.size + (blockIdx.z * M + row) * N + column];
}

namespace {

constexpr int BM = 128, BN = 64, THREADS = 128, STAGES = 3, PAD = 4;
constexpr int STEP = 32;  // parts of K begin at multiples of it: whole steps of either kernel, and addresses of 16 bytes stay such

template <class T> using TileA = TensorTile<T, BM, STEP, THREADS>;
template <class T> using TileB = TensorTile<T, BN, STEP, THREADS>;
template <class T> constexpr size_t SHARED = STAGES * (TileA<T>::SIZE + TileB<T>::SIZE) * sizeof(T);

}  // namespace

// fp32: the loop of v06.
__global__ void __launch_bounds__(THREADS)
    matmul_part_fp32(const __grid_constant__ Problem<float> problem, Quads a_way, Quads b_way, const __grid_constant__ Parts parts) {
    constexpr int BK = 16;
    __shared__ __align__(16) float As[BK][BM + PAD];
    __shared__ __align__(16) float Bs[BK][BN + PAD];
    Problem<float> p = problem.of_batch(blockIdx.z);
    const Tile tile = tile_of_block<BM, BN>(p);
    const int thread = threadIdx.x, warp = thread / 32;
    const int begin = blockIdx.y * parts.length, end = min(p.K, begin + parts.length);
    WarpTile c(warp / 2 * 64, warp % 2 * 32, thread % 32);
    for (int k0 = begin; k0 < end; k0 += BK) {
        Staged<BK, BM, THREADS> a;
        Staged<BK, BN, THREADS> b;
        a.load(p.A, a_way, tile.row, k0, p.M, end, thread);
        b.load(p.B.transposed(), b_way, tile.column, k0, p.N, end, thread);
        a.store(As, a_way, thread);
        b.store(Bs, b_way, thread);
        __syncthreads();
        c.add(As, Bs);
        __syncthreads();
    }
    p.C = {&part_of(parts, p.M, p.N, 0, 0), p.N, 1, {}};
    c.store(p, tile);
}

// 16-bit types: the loop of v08.
template <class T>
__global__ void __launch_bounds__(THREADS)
    matmul_part(const __grid_constant__ Problem<T> problem, Chunks a_way, Chunks b_way, const __grid_constant__ Parts parts) {
#ifndef TG_NO_AMPERE
    DYNAMIC_SHARED(T, shared);
    T* const As = shared;
    T* const Bs = shared + STAGES * TileA<T>::SIZE;
    const Problem<T> p = problem.of_batch(blockIdx.z);
    const Matrix<const T> bt = p.B.transposed();
    const Tile tile = tile_of_block<BM, BN>(p);
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
    const int row = warp / 2 * 64, column = warp % 2 * 32;
    const int begin = blockIdx.y * parts.length, end = min(p.K, begin + parts.length);
    const int steps = end > begin ? ceil_div(end - begin, STEP) : 0;

    const auto load = [&](int step) {  // one group a step, an empty one past the end
        if (step < steps) {
            TileA<T>::load(As + step % STAGES * TileA<T>::SIZE, p.A, a_way, tile.row, begin + step * STEP, p.M, end, thread);
            TileB<T>::load(Bs + step % STAGES * TileB<T>::SIZE, bt, b_way, tile.column, begin + step * STEP, p.N, end, thread);
        }
        device::cp_async_commit();
    };
    float sum[4][4][4] = {};
    for (int s = 0; s < STAGES - 1; ++s) load(s);
    for (int step = 0; step < steps; ++step) {
        device::cp_async_wait<STAGES - 2>();
        __syncthreads();
        load(step + STAGES - 1);
        const T* A = As + step % STAGES * TileA<T>::SIZE;
        const T* B = Bs + step % STAGES * TileB<T>::SIZE;
#pragma unroll
        for (int k = 0; k < STEP; k += 16) {
            unsigned a[4][4], b[2][4];
#pragma unroll
            for (int i = 0; i < 4; ++i) TileA<T>::template fragment<true>(a[i], A, a_way, row + i * 16, k, lane);
#pragma unroll
            for (int j = 0; j < 2; ++j) TileB<T>::template fragment<false>(b[j], B, b_way, column + j * 16, k, lane);
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    const unsigned half[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
                    multiply_add(sum[i][j], a[i], half, T());
                }
        }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int r = tile.row + row + i * 16 + lane / 4 + e / 2 * 8, c = tile.column + column + j * 8 + lane % 4 * 2 + e % 2;
                if (r < p.M && c < p.N) part_of(parts, p.M, p.N, r, c) = sum[i][j][e];
            }
#endif
}

// C from its parts.
template <class T>
__global__ void __launch_bounds__(256) matmul_add_parts(const __grid_constant__ Problem<T> problem, const __grid_constant__ Parts parts,
                                                        int count, const __grid_constant__ Fused<T> epilogue) {
    const int64_t at = int64_t(blockIdx.x) * 256 + threadIdx.x;
    if (at >= parts.size) return;
    float sum = 0;
    for (int s = 0; s < count; ++s) sum += parts.sums[s * parts.size + at];
    const int64_t column = at % problem.N, row = at / problem.N % problem.M, batch = at / problem.N / problem.M;
    problem.of_batch(int(batch)).C(row, column) = T(epilogue.of_batch(problem, int(batch))(sum, int(row), int(column)));
}

template <class T> void run(const Problem<T>& p, const Fused<T>& epilogue, const Array& workspace) {
    Parts parts{workspace.ptr<float>(), int64_t(p.batches) * p.M * p.N, 0};
    const int count = dimension(workspace.shape[0]);
    parts.length = ceil_div(ceil_div(p.K, count), STEP) * STEP;
    dim3 grid = grid_of_tiles<BM, BN>(p);
    grid.y = unsigned(count);
    if constexpr (sizeof(T) == 4)
        launch(matmul_part_fp32, grid, THREADS, 0, current_stream, p, quads_of(p.A), quads_of(p.B.transposed()), parts);
    else
        launch(matmul_part<T>, grid, THREADS, SHARED<T>, current_stream, p, chunks_of(p.A), chunks_of(p.B.transposed()), parts);
    const int64_t blocks = (parts.size + 255) / 256;
    if (blocks > 0x7fffffff) throw std::invalid_argument("the result has more elements than a grid has threads");
    launch(matmul_add_parts<T>, dim3(unsigned(blocks)), 256, 0, current_stream, p, parts, count, epilogue);
}

// `workspace` is (parts, elements of C) in fp32: memory for that many parts of K.
void split_k_gemm(Array& out, const Array& a, const Array& b, const Array& c0, const Array& bias, double alpha, double beta,
                  int64_t activation, Array& workspace) {
    if (!workspace || workspace.ndim != 2 || workspace.dtype != DType::float32 || !workspace.contiguous() ||
        workspace.shape[0] < 1 || workspace.shape[0] > 65535 || workspace.shape[1] < out.size())
        throw std::invalid_argument("the workspace must be a float32 array of (1 to 65535 parts, elements of the result) without gaps");
    by_dtype<float, __nv_bfloat16, __half>(out, a, b, [&]<class T>(const Problem<T>& p) {
        run(p, Fused<T>(out, c0, bias, alpha, beta, activation), workspace);
    });
}

void split_k(Array& out, const Array& a, const Array& b, Array& workspace) {
    split_k_gemm(out, a, b, Array(), Array(), 1, 0, 0, workspace);
}

TG_KERNEL(matmul, "cuda/split_k", "float32 bfloat16 float16", split_k, Chips{80})
TG_KERNEL(gemm, "cuda/split_k", "float32 bfloat16 float16", split_k_gemm, Chips{80})

}  // namespace tg::matmul
