// The idea: fetch the next step's tiles into registers while computing on this step's, and write them to a second buffer.
// Before it (v06): threads waited for memory at each step. With two buffers one barrier a step is enough: no reader is overwritten.
// Ownership: as v06.
// Bottleneck: the fp32 units; this is about as far as true fp32 goes without tensor cores.
// Measure: python benchmarks/matmul_ladder.py v07_double_buffered (emulated time)
#include "warp_tile.h"

namespace tg::matmul {

namespace {

constexpr int BM = 128, BN = 128, BK = 16, THREADS = 256, PAD = 4;

}  // namespace

template <class E>
__global__ void __launch_bounds__(THREADS)
    matmul_double_buffered(const __grid_constant__ Problem<float> problem, Quads a_way, Quads b_way, const __grid_constant__ E epilogue) {
    __shared__ __align__(16) float As[2][BK][BM + PAD];
    __shared__ __align__(16) float Bs[2][BK][BN + PAD];
    const Problem<float> p = problem.of_batch(blockIdx.z);
    const Tile tile = tile_of_block<BM, BN>(p);
    const int thread = threadIdx.x, warp = thread / 32;
    WarpTile c(warp / 4 * 64, warp % 4 * 32, thread % 32);
    Staged<BK, BM, THREADS> a;
    Staged<BK, BN, THREADS> b;
    const auto fetch = [&](int k0) {
        a.load(p.A, a_way, tile.row, k0, p.M, p.K, thread);
        b.load(p.B.transposed(), b_way, tile.column, k0, p.N, p.K, thread);
    };
    fetch(0);
    int buffer = 0;
    for (int k0 = 0; k0 < p.K; k0 += BK) {
        a.store(As[buffer], a_way, thread);
        b.store(Bs[buffer], b_way, thread);
        __syncthreads();
        if (k0 + BK < p.K) fetch(k0 + BK);
        c.add(As[buffer], Bs[buffer]);
        buffer ^= 1;
    }
    c.store(p, tile, epilogue.of_batch(problem, blockIdx.z));
}

struct DoubleBuffered {
    template <class E> void operator()(const Problem<float>& p, const E& epilogue) const {
        const Quads a_way = quads_of(p.A), b_way = quads_of(p.B.transposed());
        launch(matmul_double_buffered<E>, grid_of_tiles<BM, BN>(p), THREADS, 0, current_stream, p, a_way, b_way, epilogue);
    }
};

// By name: im2col multiplies with it too.
void double_buffered(Array& out, const Array& a, const Array& b) { plain<DoubleBuffered, float>(out, a, b); }

TG_KERNEL(matmul, "cuda/v07_double_buffered", "float32", double_buffered)
TG_KERNEL(gemm, "cuda/v07_double_buffered", "float32", (fused<DoubleBuffered, float>))

}  // namespace tg::matmul
