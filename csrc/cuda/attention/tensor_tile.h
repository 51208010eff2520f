// The arithmetic of the 16-bit flash rungs: mma.sync on tiles that cp.async brings and ldmatrix reads.
//
// Four warps own 16 rows each of a tile of 64 (the rows), which meets tiles of N vectors (the columns). The registers a product of
// rows and columns ends in are those from which the next product takes its left operand, so weights never leave them. Lane 4 g + t
// holds of scores, and of results, rows g (e = 0, 1) and g + 8 (e = 2, 3), columns 8 n + 2 t + e % 2.
#pragma once
#include "../../device/cp_async.cuh"
#include "../../device/ldmatrix.cuh"
#include "../../device/mma.cuh"
#include "problem.h"

namespace tg::attention {

constexpr int ROWS = 64, WARPS = 4, TENSOR_THREADS = 32 * WARPS;

__device__ __forceinline__ void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], __nv_bfloat16) {
    device::mma_m16n8k16_bf16(d, a, b);
}
__device__ __forceinline__ void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], __half) {
    device::mma_m16n8k16_fp16(d, a, b);
}

template <class T, int D> struct TensorTile {  // D: the largest head size
    static constexpr int ROW = D + 8;          // 16 bytes of padding: the eight rows that ldmatrix reads together fall into different banks
    template <int N> using Scores = float[N / 8][4];
    template <int N> using Weights = unsigned[N / 16][4];
    using Result = float[D / 8][4];

    int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;

    __device__ int row(int e) const { return warp * 16 + lane / 4 + e / 2 * 8; }
    __device__ int column(int n, int e) const { return n * 8 + lane % 4 * 2 + e % 2; }

    // Starts the copies of N vectors of a head, from position `first` on. Zeros fill up what the products look at.
    template <int N>
    __device__ static void load(T* tile, const Heads<const T>& from, bool chunks, int b, int h, int first, int positions, int width) {
        const int wide = ceil_div(width, 16) * 16;
        if (chunks) {
#pragma unroll 4
            for (int at = int(threadIdx.x); at < N * D / 8; at += TENSOR_THREADS) {
                const int r = at / (D / 8), d = at % (D / 8) * 8;
                if (d >= wide) continue;
                const int count = first + r < positions ? max(0, min(8, width - d)) : 0;
                device::cp_async_16(tile + r * ROW + d, count ? from.at(b, h, first + r) + d : from.data, unsigned(count * sizeof(T)));
            }
            return;
        }
        for (int r = int(threadIdx.x) / 32; r < N; r += WARPS) {
            const bool there = first + r < positions;
            const T* vector = from.at(b, h, there ? first + r : 0);
            for (int d = int(threadIdx.x) % 32; d < wide; d += 32) tile[r * ROW + d] = there && d < width ? vector[d] : T(0.0f);
        }
    }

    // s = A B^T, of the warp's rows of A and the N vectors of B
    template <int N> __device__ void dots(Scores<N>& s, const T* A, const T* B, int width) const {
        const int matrix = lane / 8, line = lane % 8;
#pragma unroll
        for (int n = 0; n < N / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) s[n][e] = 0;
#pragma unroll
        for (int d = 0; d < D; d += 16) {
            if (d >= width) continue;
            unsigned a[4];
            device::ldmatrix_x4(a, A + (warp * 16 + matrix % 2 * 8 + line) * ROW + d + matrix / 2 * 8);
#pragma unroll
            for (int n = 0; n < N / 16; ++n) {
                unsigned b[4];
                device::ldmatrix_x4(b, B + (n * 16 + matrix / 2 * 8 + line) * ROW + d + matrix % 2 * 8);
                multiply_add(s[2 * n], a, {b[0], b[1]}, T());
                multiply_add(s[2 * n + 1], a, {b[2], b[3]}, T());
            }
        }
    }

    // Scores or weights rounded to 16 bits, as the left operand of the next product.
    template <int N> __device__ static void round(Weights<N>& w, const Scores<N>& s) {
#pragma unroll
        for (int n = 0; n < N / 8; ++n)
#pragma unroll
            for (int half = 0; half < 2; ++half) w[n / 2][n % 2 * 2 + half] = pack(s[n][2 * half], s[n][2 * half + 1], T());
    }

    // result += weights B
    template <int N> __device__ void accumulate(Result& result, const Weights<N>& w, const T* B, int width) const {
        const int matrix = lane / 8, line = lane % 8;
#pragma unroll
        for (int k = 0; k < N / 16; ++k)
#pragma unroll
            for (int d = 0; d < D; d += 16) {
                if (d >= width) continue;
                unsigned b[4];
                device::ldmatrix_x4_transposed(b, B + (k * 16 + matrix % 2 * 8 + line) * ROW + d + matrix / 2 * 8);
                multiply_add(result[d / 8], w[k], {b[0], b[1]}, T());
                multiply_add(result[d / 8 + 1], w[k], {b[2], b[3]}, T());
            }
    }

    // Writes results times a factor of each row, by way of the warp's rows of a tile that nobody needs any more: whole vectors go out.
    __device__ void store(T* tile, const Heads<T>& to, bool chunks, int b, int h, int first, int positions, int width, const Result& result,
                          const float (&factor)[2]) const {
        __syncwarp();
#pragma unroll
        for (int n = 0; n < D / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) tile[row(e) * ROW + column(n, e)] = T(result[n][e] * factor[e / 2]);
        __syncwarp();
        const int step = chunks && width % 8 == 0 ? 8 : 1;  // elements a lane moves
        for (int r = warp * 16; r < warp * 16 + 16 && first + r < positions; ++r)
            for (int d = lane * step; d < width; d += 32 * step) {
                T* element = to.at(b, h, first + r) + d;
                if (step == 8) *reinterpret_cast<int4*>(element) = *reinterpret_cast<const int4*>(tile + r * ROW + d);
                else *element = tile[r * ROW + d];
            }
    }
};

}  // namespace tg::attention
