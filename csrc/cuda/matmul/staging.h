// Bringing tiles of A and B from global to shared memory, for the fp32 rungs from v03 on.
//
// Both operands are staged k-first: tile[k][i] is A(row + i, k) or B(k, column + i). So B is staged as the transpose it is, and
// one function serves both. Beyond the edges a tile holds zeros, which add nothing.
#pragma once
#include "epilogue.h"

namespace tg::matmul {

// Element by element. Neighbouring threads take neighbours in memory, whichever way the operand lies.
template <int BK, int LENGTH, int THREADS>
__device__ void stage(float (&tile)[BK][LENGTH], const Matrix<const float>& m, int first, int k0, int length, int K, int thread) {
    static_assert(BK * LENGTH % THREADS == 0);
    const bool along_k = m.right == 1;
#pragma unroll
    for (int n = 0; n < BK * LENGTH / THREADS; ++n) {
        const int at = n * THREADS + thread;
        const int i = along_k ? at / BK : at % LENGTH;
        const int k = along_k ? at % BK : at / LENGTH;
        tile[k][i] = first + i < length && k0 + k < K ? m(first + i, k0 + k) : 0.0f;
    }
}

// Which way an operand, seen as (i, k), may be read in groups of four: their addresses must be multiples of 16 bytes.
enum class Quads { none, along_k, along_i };

inline Quads quads_of(const Matrix<const float>& m) {
    bool whole = reinterpret_cast<uintptr_t>(m.data) % 16 == 0;
    for (int64_t step : m.batch) whole = whole && step % 4 == 0;
    if (whole && m.right == 1 && m.down % 4 == 0) return Quads::along_k;
    if (whole && m.down == 1 && m.right % 4 == 0) return Quads::along_i;
    return Quads::none;
}

// Four at a time, by way of registers, so that loading and storing can be apart. Groups that cross an edge, and operands that lie
// otherwise, go element by element.
template <int BK, int LENGTH, int THREADS> struct Staged {
    static constexpr int COUNT = BK * LENGTH / 4 / THREADS;
    static_assert(COUNT * 4 * THREADS == BK * LENGTH);
    float4 quads[COUNT];

    __device__ static void place(Quads way, int at, int& i, int& k) {
        i = way == Quads::along_i ? at % (LENGTH / 4) * 4 : at / (BK / 4);
        k = way == Quads::along_i ? at / (LENGTH / 4) : at % (BK / 4) * 4;
    }

    __device__ void load(const Matrix<const float>& m, Quads way, int first, int k0, int length, int K, int thread) {
#pragma unroll
        for (int n = 0; n < COUNT; ++n) {
            int i, k;
            place(way, n * THREADS + thread, i, k);
            const int di = way == Quads::along_i, dk = 1 - di;
            i += first;
            k += k0;
            if (way != Quads::none && i + 3 * di < length && k + 3 * dk < K) {
                quads[n] = *reinterpret_cast<const float4*>(&m(i, k));
            } else {
                const auto one = [&](int j) { return i + j * di < length && k + j * dk < K ? m(i + j * di, k + j * dk) : 0.0f; };
                quads[n] = make_float4(one(0), one(1), one(2), one(3));
            }
        }
    }

    template <int WIDTH> __device__ void store(float (&tile)[BK][WIDTH], Quads way, int thread) const {
#pragma unroll
        for (int n = 0; n < COUNT; ++n) {
            int i, k;
            place(way, n * THREADS + thread, i, k);
            const float4 q = quads[n];
            if (way == Quads::along_i) {
                *reinterpret_cast<float4*>(&tile[k][i]) = q;
            } else {
                tile[k][i] = q.x;
                tile[k + 1][i] = q.y;
                tile[k + 2][i] = q.z;
                tile[k + 3][i] = q.w;
            }
        }
    }
};

// Four neighbours of a row of C, by way of an epilogue.
template <class E = Plain> __device__ void store_quad(const Problem<float>& p, int row, int column, float4 q, const E& epilogue = {}) {
    if (row >= p.M) return;
    const auto end = [&](float sum, int j) { return column + j < p.N ? epilogue(sum, row, column + j) : 0.0f; };
    q = make_float4(end(q.x, 0), end(q.y, 1), end(q.z, 2), end(q.w, 3));
    float* to = &p.C(row, column);
    if (column + 3 < p.N && p.C.right == 1 && reinterpret_cast<uintptr_t>(to) % 16 == 0) {
        *reinterpret_cast<float4*>(to) = q;
        return;
    }
    const float values[] = {q.x, q.y, q.z, q.w};
#pragma unroll
    for (int j = 0; j < 4; ++j)
        if (column + j < p.N) p.C(row, column + j) = values[j];
}

}  // namespace tg::matmul
