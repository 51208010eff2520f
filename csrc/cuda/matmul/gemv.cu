// The idea: a matrix times a few vectors reads the matrix once and reuses nothing, so all that counts is reading it at full speed.
// Before it (the ladder): a tile of C for every block; of a C with one column 127 of 128 columns of such a tile are padding.
// Ownership: of a matrix that lies along K a warp owns a row and its lanes share K; of one that lies along M a lane owns rows.
// Bottleneck: global memory, the whole way; 16 (8) bytes a load and lane, neighbours in memory by neighbouring lanes.
// Measure: python benchmarks/matmul_ladder.py gemv (emulated time)
#include "epilogue.h"

namespace tg::matmul {

namespace {

constexpr int THREADS = 256, WARPS = THREADS / 32;  // one block at least: fewer registers, for more blocks, end in spills

// `COUNT` neighbours in memory in one load.
template <class T, int COUNT> struct alignas(COUNT * sizeof(T)) Pack {
    T of[COUNT];
};
template <class T> constexpr int ALONG_K = 16 / sizeof(T);  // elements of a load
template <class T> constexpr int ALONG_M = 8 / sizeof(T);

template <class T, int COUNT> bool in_packs(const Matrix<const T>& m, int64_t step, int64_t other) {
    bool whole = step == 1 && other % COUNT == 0 && reinterpret_cast<uintptr_t>(m.data) % (COUNT * sizeof(T)) == 0;
    for (int64_t batch : m.batch) whole = whole && batch % COUNT == 0;
    return whole;
}

}  // namespace

// A warp for each row. Each lane adds up its part of K, then the lanes add up theirs.
template <class T, int V>
__global__ void __launch_bounds__(THREADS, 1)
    gemv_along_k(const __grid_constant__ Problem<T> problem, bool packed, bool b_packed, const __grid_constant__ Fused<T> epilogue) {
    using Sum = SumOf<T>;
    constexpr int Q = ALONG_K<T>;
    const Problem<T> p = problem.of_batch(blockIdx.z);
    const Tile tile = tile_of_block<WARPS, V>(p);
    const int lane = threadIdx.x % 32, row = tile.row + int(threadIdx.x / 32);
    if (row >= p.M) return;  // the whole warp
    Sum sum[V] = {};
    const int packs = packed ? p.K / Q : 0, columns = min(V, p.N - tile.column);
#pragma unroll 2
    for (int at = lane; at < packs; at += 32) {
        const auto a = *reinterpret_cast<const Pack<T, Q>*>(&p.A(row, at * Q));
#pragma unroll
        for (int v = 0; v < V; ++v) {
            if (v >= columns) break;
            const T* from = &p.B(at * Q, tile.column + v);
            Pack<T, Q> b;
            if (b_packed) {
                b = *reinterpret_cast<const Pack<T, Q>*>(from);
            } else {
#pragma unroll
                for (int j = 0; j < Q; ++j) b.of[j] = from[j * p.B.down];
            }
#pragma unroll
            for (int j = 0; j < Q; ++j) sum[v] += Sum(a.of[j]) * Sum(b.of[j]);
        }
    }
    for (int k = packs * Q + lane; k < p.K; k += 32)
#pragma unroll
        for (int v = 0; v < V; ++v)
            if (v < columns) sum[v] += Sum(p.A(row, k)) * Sum(p.B(k, tile.column + v));
    const Fused<T> finish = epilogue.of_batch(problem, blockIdx.z);
#pragma unroll
    for (int v = 0; v < V; ++v) {
        for (int other = 16; other > 0; other /= 2) sum[v] += __shfl_xor_sync(~0u, sum[v], other);
        if (lane == 0 && v < columns) p.C(row, tile.column + v) = T(finish(sum[v], row, tile.column + v));
    }
}

// A lane for each few rows, which are neighbours in memory. Each warp adds up its part of K, then the warps add up theirs.
template <class T, int V>
__global__ void __launch_bounds__(THREADS, 1)
    gemv_along_m(const __grid_constant__ Problem<T> problem, bool packed, const __grid_constant__ Fused<T> epilogue) {
    using Sum = SumOf<T>;
    constexpr int Q = ALONG_M<T>, ROWS = 32 * Q;
    __shared__ Sum parts[WARPS][ROWS][V];
    const Problem<T> p = problem.of_batch(blockIdx.z);
    const Tile tile = tile_of_block<ROWS, V>(p);
    const int warp = threadIdx.x / 32, first = int(threadIdx.x) % 32 * Q, row = tile.row + first;
    const bool whole = packed && row + Q <= p.M;
    Sum sum[Q][V] = {};
#pragma unroll 4
    for (int k = warp; k < p.K; k += WARPS) {
        Pack<T, Q> a;
        if (whole) {
            a = *reinterpret_cast<const Pack<T, Q>*>(&p.A(row, k));
        } else {
#pragma unroll
            for (int i = 0; i < Q; ++i) a.of[i] = row + i < p.M ? p.A(row + i, k) : T(0.0f);
        }
#pragma unroll
        for (int v = 0; v < V; ++v) {
            const Sum b = tile.column + v < p.N ? Sum(p.B(k, tile.column + v)) : Sum(0);
#pragma unroll
            for (int i = 0; i < Q; ++i) sum[i][v] += Sum(a.of[i]) * b;
        }
    }
#pragma unroll
    for (int i = 0; i < Q; ++i)
#pragma unroll
        for (int v = 0; v < V; ++v) parts[warp][first + i][v] = sum[i][v];
    __syncthreads();
    const Fused<T> finish = epilogue.of_batch(problem, blockIdx.z);
    for (int at = threadIdx.x; at < ROWS * V; at += THREADS) {
        const int r = tile.row + at % ROWS, c = tile.column + at / ROWS;
        if (r >= p.M || c >= p.N) continue;
        Sum total = 0;
        for (int w = 0; w < WARPS; ++w) total += parts[w][at % ROWS][at / ROWS];
        p.C(r, c) = T(finish(total, r, c));
    }
}

template <class T, int V> void run(const Problem<T>& p, const Fused<T>& epilogue) {
    if (p.A.down == 1 && p.A.right != 1) {
        const bool packed = in_packs<T, ALONG_M<T>>(p.A, p.A.down, p.A.right);
        launch(gemv_along_m<T, V>, grid_of_tiles<32 * ALONG_M<T>, V>(p), THREADS, 0, current_stream, p, packed, epilogue);
    } else {
        const bool packed = in_packs<T, ALONG_K<T>>(p.A, p.A.right, p.A.down);
        const bool b_packed = in_packs<T, ALONG_K<T>>(p.B, p.B.down, p.B.right);
        launch(gemv_along_k<T, V>, grid_of_tiles<WARPS, V>(p), THREADS, 0, current_stream, p, packed, b_packed, epilogue);
    }
}

void gemv_gemm(Array& out, const Array& a, const Array& b, const Array& c0, const Array& bias, double alpha, double beta,
               int64_t activation) {
    by_dtype<float, double, __nv_bfloat16, __half>(out, a, b, [&]<class T>(Problem<T> p) {
        Fused<T> epilogue(out, c0, bias, alpha, beta, activation);
        if (p.M < p.N) {  // the vectors are A's rows: the transposed product
            const Matrix<const T> left = p.A;
            p.A = p.B.transposed();
            p.B = left.transposed();
            p.C = p.C.transposed();
            std::swap(p.M, p.N);
            epilogue.C0 = epilogue.C0.transposed();
            epilogue.bias = epilogue.bias.transposed();
        }
        if (p.N == 1) run<T, 1>(p, epilogue);
        else run<T, 4>(p, epilogue);
    });
}

void gemv(Array& out, const Array& a, const Array& b) { gemv_gemm(out, a, b, Array(), Array(), 1, 0, 0); }

TG_KERNEL(matmul, "cuda/gemv", "float32 float64 bfloat16 float16", gemv)
TG_KERNEL(gemm, "cuda/gemv", "float32 float64 bfloat16 float16", gemv_gemm)

}  // namespace tg::matmul
