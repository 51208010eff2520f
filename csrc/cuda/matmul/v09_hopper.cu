// The idea: specialists. One warpgroup only fetches tiles (TMA), two only multiply (wgmma, from shared memory); mbarriers join them.
// Before it (v08): every warp fetched, waited and multiplied in turn, and read its operands into registers first.
// Ownership: consumer warpgroup w of 2 owns rows 64 w of the block's 128 x 128 tile; the registers are wgmma's.
// Bottleneck: the epilogue, during which the tensor cores rest: persistent blocks would overlap it.
// Measure: python benchmarks/matmul_ladder.py v09_hopper (emulated time)
#include "../../device/mma.cuh"
#include "../../device/tma.cuh"
#include "../../device/wgmma.cuh"
#include "epilogue.h"

namespace tg::matmul {

namespace {

constexpr int BM = 128, BN = 128, STAGES = 4, THREADS = 3 * 128, CONSUMER_WARPS = 8;
template <class T> constexpr int BK = 128 / sizeof(T);  // of a step: a row of swizzled shared memory; a product takes a quarter of it
template <class T> constexpr int TILE = 128 * BK<T>;    // elements of a tile of either operand: 16 KiB
template <class T> constexpr int HALF = TILE<T> / 2;    // i-fastest tiles are two boxes of 64
constexpr unsigned STEP_BYTES = 2 * 128 * 128;
constexpr size_t SHARED = STAGES * STEP_BYTES;

// tf32: wgmma cuts 13 bits off fp32 operands, so they are rounded on their way into shared memory, to nearest, halves to even, by TMA
// or by hand. It takes them k-fastest only: producers turn what lies i-fastest.
template <class T> constexpr bool TF32 = std::is_same_v<T, float>;

// How an operand, seen as (i, k), comes into shared memory.
enum class Feed { tma_along_k, tma_along_i, by_hand };

template <class T> Feed feed_of(const Matrix<const T>& m, int K) {
    constexpr int Q = 16 / sizeof(T);
    if (reinterpret_cast<uintptr_t>(m.data) % 16 || K == 0) return Feed::by_hand;
    if (m.right == 1 && m.down % Q == 0 && m.down > 0) return Feed::tma_along_k;
    if (!TF32<T> && m.down == 1 && m.right % Q == 0 && m.right > 0) return Feed::tma_along_i;
    return Feed::by_hand;
}

template <class T> CUtensorMap map_of(const Matrix<const T>& m, Feed feed, int length, int K) {
    if (feed == Feed::tma_along_k) return device::tensor_map(m.data, length, K, m.down, 128);
    if (feed == Feed::tma_along_i) return device::tensor_map(m.data, K, length, m.right, BK<T>);
    return {};
}

// Where strides or alignment are not for TMA, the producers write the tile themselves, k-fastest and swizzled as TMA would.
template <class T>
__device__ void write_tile(T* tile, const Matrix<const T>& m, int first, int k0, int length, int K, int thread) {
    constexpr int Q = 16 / sizeof(T);  // the swizzle keeps 16 bytes together
    struct alignas(16) Chunk {
        T of[Q];
    };
    for (int at = thread; at < TILE<T> / Q; at += 128) {
        const int i = m.down == 1 ? at % 128 : at / 8, chunk = m.down == 1 ? at / 128 : at % 8;
        Chunk c;
#pragma unroll
        for (int j = 0; j < Q; ++j) {
            const int k = k0 + chunk * Q + j;
            c.of[j] = first + i < length && k < K ? m(first + i, k) : T(0.0f);
            if constexpr (TF32<T>) c.of[j] = device::to_tf32_even(c.of[j]);
        }
        *reinterpret_cast<Chunk*>(&tile[i * BK<T> + (chunk ^ i % 8) * Q]) = c;
    }
}

template <class T>
__device__ void feed_tile(T* tile, const Matrix<const T>& m, const CUtensorMap& map, Feed feed, int first, int k0, int length, int K,
                          uint64_t* full, int thread) {
    if (feed == Feed::by_hand) {
        write_tile(tile, m, first, k0, length, K, thread);
    } else if (thread == 0) {
        if (feed == Feed::tma_along_k) {
            device::tma_load_2d(tile, map, k0, first, full);
        } else {
            device::tma_load_2d(tile, map, first, k0, full);
            device::tma_load_2d(tile + HALF<T>, map, first + 64, k0, full);
        }
    }
}

template <int TA, int TB> __device__ void multiply_add(float (&d)[64], uint64_t a, uint64_t b, __nv_bfloat16) {
    device::wgmma_m64n128k16_bf16<TA, TB>(d, a, b);
}
template <int TA, int TB> __device__ void multiply_add(float (&d)[64], uint64_t a, uint64_t b, __half) {
    device::wgmma_m64n128k16_fp16<TA, TB>(d, a, b);
}
template <int TA, int TB> __device__ void multiply_add(float (&d)[64], uint64_t a, uint64_t b, float) {
    device::wgmma_m64n128k8_tf32(d, a, b);
}

}  // namespace

template <class T, int TA, int TB, class E>  // TA, TB: the tiles lie i-fastest
__global__ void __launch_bounds__(THREADS)
    matmul_hopper(const __grid_constant__ Problem<T> p, const __grid_constant__ CUtensorMap a_map,
                  const __grid_constant__ CUtensorMap b_map, Feed a_feed, Feed b_feed, const __grid_constant__ E epilogue) {
#ifndef TG_NO_HOPPER
    DYNAMIC_SHARED(T, tiles);
    __shared__ uint64_t full[STAGES], empty[STAGES];
    const Tile tile = tile_of_block<BM, BN>(p);
    const int thread = threadIdx.x % 128, group = threadIdx.x / 128;
    const int steps = ceil_div(p.K, BK<T>);
    const bool alone = a_feed != Feed::by_hand && b_feed != Feed::by_hand;  // one producer thread is enough
    const unsigned bytes = (a_feed != Feed::by_hand ? STEP_BYTES / 2 : 0) + (b_feed != Feed::by_hand ? STEP_BYTES / 2 : 0);
    if (threadIdx.x == 0) {
        for (int s = 0; s < STAGES; ++s) {
            device::mbarrier_init(&full[s], (bytes ? 1 : 0) + (alone ? 0 : 128));  // who announces the TMA's bytes, who writes by hand
            device::mbarrier_init(&empty[s], CONSUMER_WARPS);
        }
        device::fence_mbarrier_init();
    }
    __syncthreads();

    if (group == 0) {  // producers
        device::fewer_registers<40>();
        if (alone && thread != 0) return;
        for (int step = 0; step < steps; ++step) {
            const int s = step % STAGES;
            T* const A = tiles + s * 2 * TILE<T>;
            device::mbarrier_wait(&empty[s], (step / STAGES + 1) % 2);  // the first time round at once
            if (thread == 0 && bytes) device::mbarrier_arrive_expect(&full[s], bytes);
            feed_tile(A, p.A, a_map, a_feed, tile.row, step * BK<T>, p.M, p.K, &full[s], thread);
            feed_tile(A + TILE<T>, p.B.transposed(), b_map, b_feed, tile.column, step * BK<T>, p.N, p.K, &full[s], thread);
            if (!alone) {
                device::fence_async_proxy();
                device::mbarrier_arrive(&full[s]);
            }
        }
        return;
    }

    device::more_registers<232>();  // consumers
    const int warpgroup = group - 1, lane = thread % 32;
    float sum[64] = {};
    for (int step = 0; step < steps; ++step) {
        const int s = step % STAGES;
        const T* A = tiles + s * 2 * TILE<T> + warpgroup * HALF<T>;  // 64 rows of k, or the box of 64 i: the same place
        const T* B = tiles + s * 2 * TILE<T> + TILE<T>;
        device::mbarrier_wait(&full[s], step / STAGES % 2);
        const uint64_t a = device::wgmma_descriptor(A, HALF<T> * sizeof(T)), b = device::wgmma_descriptor(B, HALF<T> * sizeof(T));
        device::wgmma_fence();
#pragma unroll
        for (int k = 0; k < 4; ++k) multiply_add<TA, TB>(sum, a + k * (TA ? 128 : 2), b + k * (TB ? 128 : 2), T());
        device::wgmma_commit();
        device::wgmma_wait<1>();  // the step before is done: its buffers are free
        if (step > 0 && lane == 0) device::mbarrier_arrive(&empty[(step - 1) % STAGES]);
    }
    device::wgmma_wait<0>();

    const int row = tile.row + warpgroup * 64 + thread / 32 * 16 + lane / 4, column = tile.column + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < 64; ++j) {
        const int r = row + j % 4 / 2 * 8, c = column + j / 4 * 8 + j % 2;
        if (r < p.M && c < p.N) p.C(r, c) = T(epilogue(sum[j], r, c));
    }
#endif
}

template <class T, class E> void run_hopper(const Problem<T>& all, const E& epilogue) {
    for (int batch = 0; batch < all.batches; ++batch) {  // a tensor map describes one matrix
        Problem<T> p = all.of_batch(batch);
        p.batches = 1;
        const Matrix<const T> bt = p.B.transposed();
        const Feed a = feed_of(p.A, p.K), b = feed_of(bt, p.K);
        const CUtensorMap a_map = map_of(p.A, a, p.M, p.K), b_map = map_of(bt, b, p.N, p.K);
        const auto go = [&](auto kernel) {
            launch(kernel, grid_of_tiles<BM, BN>(p), THREADS, SHARED, current_stream, p, a_map, b_map, a, b,
                   epilogue.of_batch(all, batch));
        };
        const bool ta = a == Feed::tma_along_i, tb = b == Feed::tma_along_i;
        if constexpr (TF32<T>) go(matmul_hopper<T, 0, 0, E>);
        else if (ta && tb) go(matmul_hopper<T, 1, 1, E>);
        else if (ta) go(matmul_hopper<T, 1, 0, E>);
        else if (tb) go(matmul_hopper<T, 0, 1, E>);
        else go(matmul_hopper<T, 0, 0, E>);
    }
}

void hopper(Array& out, const Array& a, const Array& b) {
    by_dtype<__nv_bfloat16, __half>(out, a, b, []<class T>(const Problem<T>& p) { run_hopper(p, Plain()); });
}
void hopper_gemm(Array& out, const Array& a, const Array& b, const Array& c0, const Array& bias, double alpha, double beta,
                 int64_t activation) {
    by_dtype<__nv_bfloat16, __half>(out, a, b, [&]<class T>(const Problem<T>& p) {
        run_hopper(p, Fused<T>(out, c0, bias, alpha, beta, activation));
    });
}

void hopper_tf32(Array& out, const Array& a, const Array& b) {
    for_batches<float>(out, a, b, [](const Problem<float>& p) { run_hopper(p, Plain()); });
}
void hopper_tf32_gemm(Array& out, const Array& a, const Array& b, const Array& c0, const Array& bias, double alpha, double beta,
                      int64_t activation) {
    for_batches<float>(out, a, b, [&](const Problem<float>& p) { run_hopper(p, Fused<float>(out, c0, bias, alpha, beta, activation)); });
}

TG_KERNEL(matmul, "cuda/v09_hopper", "bfloat16 float16", hopper, Chips{90, 99})
TG_KERNEL(matmul, "cuda/v09_hopper_tf32", "float32", hopper_tf32, Chips{90, 99})
TG_KERNEL(gemm, "cuda/v09_hopper", "bfloat16 float16", hopper_gemm, Chips{90, 99})
TG_KERNEL(gemm, "cuda/v09_hopper_tf32", "float32", hopper_tf32_gemm, Chips{90, 99})

}  // namespace tg::matmul
