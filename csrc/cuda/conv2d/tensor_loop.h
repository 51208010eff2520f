// The inner loop of v03: tiles of A (128 long) and B (64 long) in three stages of shared memory, products on the tensor cores.
#pragma once
#include "../matmul/tensor_tile.h"
#include "channels_last.h"

namespace tg::conv2d {

using matmul::Chunks;

constexpr int BM = 128, BN = 64, THREADS = 256, STAGES = 3;
template <class T> constexpr int Q = 16 / sizeof(T);      // elements of a chunk, what cp.async moves at once
template <class T> constexpr int BK = 64 / sizeof(T);     // of k in a step
template <class T> constexpr int MMA_K = 32 / sizeof(T);  // of one instruction
template <class T> using TileA = matmul::TensorTile<T, BM, BK<T>, THREADS>;
template <class T> using TileB = matmul::TensorTile<T, BN, BK<T>, THREADS>;
template <class T> constexpr size_t SHARED = STAGES * (TileA<T>::SIZE + TileB<T>::SIZE) * sizeof(T);

// Warp w of 8 owns rows 32 (w / 2), columns 32 (w % 2) of the block's 128 x 64 tile, as 2 x 4 pieces of 16 x 8.
template <class T> struct TensorLoop {
    float sum[2][4][4] = {};
    int lane = threadIdx.x % 32, row = threadIdx.x / 64 * 32, column = threadIdx.x / 32 % 2 * 32;

    // `load(step, A, B)` starts the copies of a step's tiles.
    template <class F> __device__ void run(T* shared, int steps, Chunks a_way, Chunks b_way, F&& load) {
        T* const As = shared;
        T* const Bs = shared + STAGES * TileA<T>::SIZE;
        const auto start = [&](int step) {  // one group a step, an empty one past the end
            if (step < steps) load(step, As + step % STAGES * TileA<T>::SIZE, Bs + step % STAGES * TileB<T>::SIZE);
            device::cp_async_commit();
        };
        for (int s = 0; s < STAGES - 1; ++s) start(s);
        for (int step = 0; step < steps; ++step) {
            device::cp_async_wait<STAGES - 2>();
            __syncthreads();  // everybody's copies of this step are there, and nobody reads the buffer that is filled next
            start(step + STAGES - 1);
            const T* A = As + step % STAGES * TileA<T>::SIZE;
            const T* B = Bs + step % STAGES * TileB<T>::SIZE;
#pragma unroll
            for (int k = 0; k < BK<T>; k += MMA_K<T>) {
                unsigned a[2][4], b[2][4];
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    TileA<T>::template fragment<true>(a[i], A, a_way, row + i * 16, k, lane);
                    matmul::round_operand<T>(a[i]);
                    TileB<T>::template fragment<false>(b[i], B, b_way, column + i * 16, k, lane);
                    matmul::round_operand<T>(b[i]);
                }
#pragma unroll
                for (int i = 0; i < 2; ++i)
#pragma unroll
                    for (int j = 0; j < 4; ++j) {
                        const unsigned half[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
                        matmul::multiply_add(sum[i][j], a[i], half, T());
                    }
            }
        }
    }

    // Calls `row_of(i)` for each row of the tile the lane holds results of, then f(what that gave, column, result) for those.
    template <class R, class F> __device__ void each(R&& row_of, F&& f) const {
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                const auto at = row_of(row + i * 16 + h * 8 + lane / 4);
#pragma unroll
                for (int j = 0; j < 4; ++j)
#pragma unroll
                    for (int e = 0; e < 2; ++e) f(at, column + j * 8 + lane % 4 * 2 + e, sum[i][j][h * 2 + e]);
            }
    }
};

// Whether channels may be copied in chunks: neighbours in memory, whole chunks, aligned.
template <class T> bool chunked(const Strided<T>& s, int channel_dim, int channels) {
    bool good = s.stride[channel_dim] == 1 && channels % Q<T> == 0 && s.group % Q<T> == 0 && reinterpret_cast<uintptr_t>(s.data) % 16 == 0;
    for (int d = 0; d < 4; ++d) good = good && (d == channel_dim || s.stride[d] % Q<T> == 0);
    return good;
}

// One element of a tile: by cp.async where it is wide enough for that.
template <class T> __device__ void copy_one(T* to, const T* from, bool inside) {
    if constexpr (sizeof(T) == 4) device::cp_async_4(to, from, inside ? 4 : 0);
    else *to = inside ? *from : T(0.0f);
}

}  // namespace tg::conv2d
