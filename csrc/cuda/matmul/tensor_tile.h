// Tiles for mma.sync: from global to shared memory with cp.async, from there to registers with ldmatrix.
//
// An operand is seen as (i, k), B as its transpose. A tile lies in shared memory as the operand lies in global memory: k-fastest
// (tile[i][k]) or i-fastest (tile[k][i], 16-bit types only, read with the transposing ldmatrix). Rows have 16 bytes of padding: the
// eight rows of a matrix that ldmatrix reads together then fall into different banks.
#pragma once
#include "../../device/cp_async.cuh"
#include "../../device/ldmatrix.cuh"
#include "../../device/mma.cuh"
#include "problem.h"

namespace tg::matmul {

enum class Chunks { none, along_k, along_i };  // which way 16 bytes at a time may be copied

template <class T> Chunks chunks_of(const Matrix<const T>& m) {
    constexpr int Q = 16 / sizeof(T);
    bool whole = reinterpret_cast<uintptr_t>(m.data) % 16 == 0;
    for (int64_t step : m.batch) whole = whole && step % Q == 0;
    if (whole && m.right == 1 && m.down % Q == 0) return Chunks::along_k;
    if (whole && m.down == 1 && m.right % Q == 0 && sizeof(T) == 2) return Chunks::along_i;
    return Chunks::none;
}

template <class T, int LENGTH, int BK, int THREADS> struct TensorTile {
    static constexpr int Q = 16 / sizeof(T);  // elements of a chunk
    static constexpr int K_ROW = BK + Q, I_ROW = LENGTH + Q;
    static constexpr int SIZE = LENGTH * K_ROW > BK * I_ROW ? LENGTH * K_ROW : BK * I_ROW;

    // Starts the copies of one tile. Beyond the edges there are zeros.
    __device__ static void load(T* tile, const Matrix<const T>& m, Chunks way, int first, int k0, int length, int K, int thread) {
        if (way == Chunks::none) {
#pragma unroll 4
            for (int at = thread; at < LENGTH * BK; at += THREADS) {
                const int i = m.down == 1 ? at % LENGTH : at / BK, k = m.down == 1 ? at / LENGTH : at % BK;
                const bool inside = first + i < length && k0 + k < K;
                T* to = &tile[i * K_ROW + k];
                if constexpr (sizeof(T) == 4) device::cp_async_4(to, inside ? &m(first + i, k0 + k) : m.data, inside ? 4 : 0);
                else *to = inside ? m(first + i, k0 + k) : T(0.0f);
            }
            return;
        }
#pragma unroll
        for (int at = thread; at < LENGTH * BK / Q; at += THREADS) {
            const bool k_fastest = way == Chunks::along_k;
            const int i = k_fastest ? at / (BK / Q) : at % (LENGTH / Q) * Q;
            const int k = k_fastest ? at % (BK / Q) * Q : at / (LENGTH / Q);
            const int left = k_fastest ? (first + i < length ? K - k0 - k : 0) : (k0 + k < K ? length - first - i : 0);
            const int count = left < 0 ? 0 : left < Q ? left : Q;
            T* to = k_fastest ? &tile[i * K_ROW + k] : &tile[k * I_ROW + i];
            device::cp_async_16(to, count ? &m(first + i, k0 + k) : m.data, unsigned(count * sizeof(T)));
        }
    }

    // Registers of a 16 (i) by 32-byte (k) piece as four 8-row matrices. For A the second register is 8 rows further, for B 16
    // bytes further along k.
    template <bool IS_A> __device__ static void fragment(unsigned (&r)[4], const T* tile, Chunks way, int i, int k, int lane) {
        const int matrix = lane / 8, line = lane % 8;
        const int i_half = IS_A ? matrix % 2 : matrix / 2, k_half = IS_A ? matrix / 2 : matrix % 2;
        if (way == Chunks::along_i) device::ldmatrix_x4_transposed(r, &tile[(k + k_half * Q + line) * I_ROW + i + i_half * 8]);
        else device::ldmatrix_x4(r, &tile[(i + i_half * 8 + line) * K_ROW + k + k_half * Q]);
    }
};

// D += A B, a piece of 16 x 8, by the type of the operands.
__device__ inline void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], __nv_bfloat16) {
    device::mma_m16n8k16_bf16(d, a, b);
}
__device__ inline void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], __half) {
    device::mma_m16n8k16_fp16(d, a, b);
}
__device__ inline void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], float) {
    device::mma_m16n8k8_tf32(d, a, b);
}

template <class T> __device__ void round_operand(unsigned (&r)[4]) {  // fp32 comes as it is; 16-bit types are exact
    if constexpr (sizeof(T) == 4)
        for (unsigned& u : r) u = device::to_tf32(u);
}

}  // namespace tg::matmul
