// The operands of the Hopper rungs: how they come into shared memory (by TMA where strides and alignment allow, else by the producers'
// hands) and how wgmma multiplies them there.
//
// An operand is seen as (i, k), B as its transpose. A tile lies k-fastest, rows of 128 bytes swizzled as TMA does, or i-fastest, in
// boxes of 64 i that wgmma transposes.
#pragma once
#include "../../device/mma.cuh"
#include "../../device/tma.cuh"
#include "../../device/wgmma.cuh"
#include "problem.h"

namespace tg::matmul::hopper {

template <class T> constexpr int ROW = 128 / sizeof(T);  // elements of a swizzled row

// tf32: wgmma cuts 13 bits off fp32 operands, so they are rounded on their way into shared memory, to nearest, halves to even, by TMA
// or by hand. It takes them k-fastest only: producers turn what lies i-fastest.
template <class T> constexpr bool TF32 = std::is_same_v<T, float>;

enum class Feed { tma_along_k, tma_along_i, by_hand };

template <class T> bool tma_can_reach(const T* data, int64_t fast, int64_t slow) {
    return reinterpret_cast<uintptr_t>(data) % 16 == 0 && fast == 1 && slow % (16 / sizeof(T)) == 0 && slow > 0;
}
template <class T> Feed feed_of(const Matrix<const T>& m, int K) {
    if (K == 0) return Feed::by_hand;
    if (tma_can_reach(m.data, m.right, m.down)) return Feed::tma_along_k;
    return !TF32<T> && tma_can_reach(m.data, m.down, m.right) ? Feed::tma_along_i : Feed::by_hand;
}
template <class T> CUtensorMap map_of(const Matrix<const T>& m, Feed feed, int length, int K, int box_rows) {
    if (feed == Feed::tma_along_k) return device::tensor_map(m.data, length, K, m.down, box_rows);
    if (feed == Feed::tma_along_i) return device::tensor_map(m.data, K, length, m.right, ROW<T>);
    return {};
}

// Calls f(problem, number, a_feed, b_feed, a_map, b_map) for each product of a batch: a tensor map describes one matrix.
template <class T, class F> void for_matrices(const Problem<T>& all, int a_rows, int b_rows, F&& f) {
    for (int batch = 0; batch < all.batches; ++batch) {
        Problem<T> p = all.of_batch(batch);
        p.batches = 1;
        const Matrix<const T> bt = p.B.transposed();
        const Feed a = feed_of(p.A, p.K), b = feed_of(bt, p.K);
        f(p, batch, a, b, map_of(p.A, a, p.M, p.K, a_rows), map_of(bt, b, p.N, p.K, b_rows));
    }
}

// The producers write the tile themselves, k-fastest and swizzled as TMA would.
template <int LENGTH, class T>
__device__ void write_tile(T* tile, const Matrix<const T>& m, int first, int k0, int length, int K, int thread) {
    constexpr int Q = 16 / sizeof(T);  // the swizzle keeps 16 bytes together
    struct alignas(16) Chunk {
        T of[Q];
    };
    for (int at = thread; at < LENGTH * 8; at += 128) {
        const int i = m.down == 1 ? at % LENGTH : at / 8, chunk = m.down == 1 ? at / LENGTH : at % 8;
        Chunk c;
#pragma unroll
        for (int j = 0; j < Q; ++j) {
            const int k = k0 + chunk * Q + j;
            c.of[j] = first + i < length && k < K ? m(first + i, k) : T(0.0f);
            if constexpr (TF32<T>) c.of[j] = device::to_tf32_even(c.of[j]);
        }
        *reinterpret_cast<Chunk*>(&tile[i * ROW<T> + (chunk ^ i % 8) * Q]) = c;
    }
}

// Brings LENGTH rows of an operand: the whole tile by hand, or its boxes by one thread's TMA.
template <int LENGTH, class T>
__device__ void feed_tile(T* tile, const Matrix<const T>& m, const CUtensorMap& map, Feed feed, int first, int k0, int length, int K,
                          uint64_t* full, int thread) {
    if (feed == Feed::by_hand) return write_tile<LENGTH>(tile, m, first, k0, length, K, thread);
    if (thread != 0) return;
    if (feed == Feed::tma_along_k) return device::tma_load_2d(tile, map, k0, first, full);
    for (int i = 0; i < LENGTH; i += 64) device::tma_load_2d(tile + i * ROW<T>, map, first + i, k0, full);
}

// D += A B for 64 rows, by the type of the operands; D's sums a thread say how many columns.
template <int TA, int TB> __device__ void multiply_add(float (&d)[32], uint64_t a, uint64_t b, __nv_bfloat16) {
    device::wgmma_m64n64k16_bf16<TA, TB>(d, a, b);
}
template <int TA, int TB> __device__ void multiply_add(float (&d)[32], uint64_t a, uint64_t b, __half) {
    device::wgmma_m64n64k16_fp16<TA, TB>(d, a, b);
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
template <int TA, int TB> __device__ void multiply_add(float (&d)[128], uint64_t a, uint64_t b, __nv_bfloat16) {
    device::wgmma_m64n256k16_bf16<TA, TB>(d, a, b);
}
template <int TA, int TB> __device__ void multiply_add(float (&d)[128], uint64_t a, uint64_t b, __half) {
    device::wgmma_m64n256k16_fp16<TA, TB>(d, a, b);
}

// The products of one stage, a row of k, as a group. A: the 64 rows of this warpgroup. TA, TB: the tiles lie i-fastest.
template <int TA, int TB, class T, int SUMS> __device__ void multiply_stage(float (&sum)[SUMS], const T* A, const T* B) {
    constexpr int BOX_BYTES = 64 * 128;
    const uint64_t a = device::wgmma_descriptor(A, BOX_BYTES), b = device::wgmma_descriptor(B, BOX_BYTES);
    device::wgmma_fence();
#pragma unroll
    for (int k = 0; k < 4; ++k) multiply_add<TA, TB>(sum, a + k * (TA ? 128 : 2), b + k * (TB ? 128 : 2), T());
    device::wgmma_commit();
}

// The same where the launch decides: which way a tile lies is part of the instruction.
template <class T, int SUMS> __device__ void multiply_stage(float (&sum)[SUMS], const T* A, const T* B, Feed a_feed, Feed b_feed) {
    const bool ta = a_feed == Feed::tma_along_i, tb = b_feed == Feed::tma_along_i;
    if constexpr (TF32<T>) multiply_stage<0, 0>(sum, A, B);
    else if (ta && tb) multiply_stage<1, 1>(sum, A, B);
    else if (ta) multiply_stage<1, 0>(sum, A, B);
    else if (tb) multiply_stage<0, 1>(sum, A, B);
    else multiply_stage<0, 0>(sum, A, B);
}

}  // namespace tg::matmul::hopper
