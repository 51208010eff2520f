// C (+)= A B on tiles that lie in cache, the inner product of attention: B and C in rows of whole vectors, A read one number
// at a time and broadcast, with any strides, so that a transposed A costs nothing.
#pragma once
#include "../core/simd.h"

namespace tg {

#if defined(__AVX512F__)
constexpr int TILE_ROWS = 4, TILE_VECTORS = 4;  // 16 of 32 registers hold sums
#else
constexpr int TILE_ROWS = 4, TILE_VECTORS = 2;  // 8 of 16
#endif

// A panel of TILE_ROWS x N vectors of C, kept in registers for all k.
template <class T, int N, bool ADD>
inline void tile_panel(int64_t k, const T* a, int64_t row, int64_t step, const T* b, int64_t ldb, T* c, int64_t ldc) {
    using namespace simd;
    V<T> sum[TILE_ROWS][N] = {};
    for (int64_t p = 0; p < k; ++p, a += step, b += ldb) {
        V<T> right[N];
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) right[j] = load(b + j * W<T>);
#pragma GCC unroll 8
        for (int i = 0; i < TILE_ROWS; ++i) {
            const T left = a[i * row];
#pragma GCC unroll 8
            for (int j = 0; j < N; ++j) sum[i][j] += left * right[j];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < TILE_ROWS; ++i)
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) {
            T* at = c + i * ldc + j * W<T>;
            if constexpr (ADD) store(at, load<T>(at) + sum[i][j]);
            else store(at, sum[i][j]);
        }
}

// m rows (a multiple of TILE_ROWS) by `vectors` vectors; A(i, p) = a[i * row + p * step].
template <class T, bool ADD>
inline void tile_gemm(int64_t m, int64_t vectors, int64_t k, const T* a, int64_t row, int64_t step, const T* b, int64_t ldb, T* c,
                      int64_t ldc) {
    constexpr int64_t w = simd::W<T>;
    for (int64_t i = 0; i < m; i += TILE_ROWS) {
        int64_t j = 0;
        for (; j + TILE_VECTORS <= vectors; j += TILE_VECTORS)
            tile_panel<T, TILE_VECTORS, ADD>(k, a + i * row, row, step, b + j * w, ldb, c + i * ldc + j * w, ldc);
        for (; j < vectors; ++j) tile_panel<T, 1, ADD>(k, a + i * row, row, step, b + j * w, ldb, c + i * ldc + j * w, ldc);
    }
}

}  // namespace tg
