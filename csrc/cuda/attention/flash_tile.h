// The arithmetic of the fp32 and fp64 flash rungs: two products of tiles in shared memory, in registers of 256 threads.
//
// The threads are 16 x 16. Thread (y, x) owns rows R y + i of a square tile of scores, of them columns x + 16 j; and of a tile of
// results the same rows, of them columns 4 x + 64 c + (0..3). Rows of scores thus stay within 16 lanes of one warp, from the first
// product through the softmax to the second.
#pragma once
#include "problem.h"

namespace tg::attention {

__device__ __forceinline__ void load_four(float (&to)[4], const float* from) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
}
__device__ __forceinline__ void load_four(double (&to)[4], const double* from) {
    const double2 a = *reinterpret_cast<const double2*>(from), b = *reinterpret_cast<const double2*>(from + 2);
    to[0] = a.x, to[1] = a.y, to[2] = b.x, to[3] = b.y;
}

template <class T, int D> struct FlashTile {  // D: the largest head size
    static constexpr int THREADS = 256, SIDE = sizeof(T) == 4 && D == 64 ? 64 : 32, R = SIDE / 16, C = D / 64;
    static constexpr int ROW = D + 4, SIZE = SIDE * ROW;                     // vectors, one a row; the padding spreads rows over the banks
    static constexpr int WEIGHT_ROW = SIDE + 4, WEIGHTS = SIDE * WEIGHT_ROW;  // of the scores, on their way from one product to the other
    using Scores = T[R][R];
    using Result = T[R][C][4];

    int x = int(threadIdx.x) % 16, y = int(threadIdx.x) / 16;

    __device__ int row(int i) const { return y * R + i; }
    __device__ int column(int j) const { return x + 16 * j; }

    // A tile of the vectors of a head from position `first` on: a warp a row. Zeros fill up what `accumulate` reads.
    __device__ static void load(T* tile, const Heads<const T>& from, int b, int h, int first, int positions, int width) {
        const int lane = int(threadIdx.x) % 32;
        for (int r = int(threadIdx.x) / 32; r < SIDE; r += THREADS / 32) {
            const bool there = first + r < positions;
            const T* vector = from.at(b, h, there ? first + r : 0);
            for (int d = lane; d < ceil_div(width, 64) * 64; d += 32) tile[r * ROW + d] = there && d < width ? vector[d] : T(0);
        }
    }

    // s = A B^T
    __device__ void dots(Scores& s, const T* A, const T* B, int width) const {
#pragma unroll
        for (int i = 0; i < R; ++i)
#pragma unroll
            for (int j = 0; j < R; ++j) s[i][j] = 0;
#pragma unroll 2
        for (int d = 0; d < width; d += 4) {
            T a[R][4], b[R][4];
#pragma unroll
            for (int i = 0; i < R; ++i) {
                load_four(a[i], A + row(i) * ROW + d);
                load_four(b[i], B + column(i) * ROW + d);
            }
#pragma unroll
            for (int i = 0; i < R; ++i)
#pragma unroll
                for (int j = 0; j < R; ++j)
#pragma unroll
                    for (int e = 0; e < 4; ++e) s[i][j] += a[i][e] * b[j][e];
        }
    }

    // Leaves scores or weights for `accumulate`, which reads what 16 lanes of this warp wrote.
    __device__ void put(T* weights, const Scores& s) const {
        __syncwarp();
#pragma unroll
        for (int i = 0; i < R; ++i)
#pragma unroll
            for (int j = 0; j < R; ++j) weights[row(i) * WEIGHT_ROW + column(j)] = s[i][j];
        __syncwarp();
    }

    // result += weights B
    __device__ void accumulate(Result& result, const T* weights, const T* B, int width) const {
#pragma unroll 2
        for (int j = 0; j < SIDE; j += 4) {
            T w[R][4];
#pragma unroll
            for (int i = 0; i < R; ++i) load_four(w[i], weights + row(i) * WEIGHT_ROW + j);
#pragma unroll
            for (int e = 0; e < 4; ++e)
#pragma unroll
                for (int c = 0; c < C; ++c) {
                    if (c * 64 >= width) continue;
                    T b[4];
                    load_four(b, B + (j + e) * ROW + c * 64 + x * 4);
#pragma unroll
                    for (int i = 0; i < R; ++i)
#pragma unroll
                        for (int d = 0; d < 4; ++d) result[i][c][d] += w[i][e] * b[d];
                }
        }
    }

    // Writes results times a factor of each row.
    __device__ void store(const Heads<T>& to, int b, int h, int first, int positions, int width, const Result& result,
                          const T (&factor)[R]) const {
#pragma unroll
        for (int i = 0; i < R; ++i)
#pragma unroll
            for (int c = 0; c < C; ++c)
#pragma unroll
                for (int d = 0; d < 4; ++d) {
                    const int at = c * 64 + x * 4 + d;
                    if (first + row(i) < positions && at < width) to.at(b, h, first + row(i))[at] = result[i][c][d] * factor[i];
                }
    }
};

}  // namespace tg::attention
