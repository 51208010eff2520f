// The core of every matrix product here: a micro-kernel on packed panels, and the routines that pack them.
//
// C (M x N, rows contiguous) += A (M x K) B (K x N). A is packed in panels of MR rows, [k][MR]; B in panels of NR columns, [k][NR].
// The micro-kernel keeps an MR x NR tile of C in registers while it walks down k: per step NV vectors of B, MR broadcasts of A,
// MR * NV multiply-adds. Van Zee and van de Geijn, "BLIS: a framework for rapidly instantiating BLAS functionality", 2015.
#pragma once
#include <omp.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

namespace tg::gemm {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64, MR = 8;  // 24 of 32 registers hold C
#elif defined(__AVX2__)
constexpr int VECTOR_BYTES = 32, MR = 4;  // 12 of 16
#else
constexpr int VECTOR_BYTES = 16, MR = 4;
#endif
constexpr int NV = 3;  // vectors per row of a tile

template <class T> constexpr int LANES = VECTOR_BYTES / int(sizeof(T));
template <class T> constexpr int NR = NV * LANES<T>;
template <class T, int N> struct VectorOf {
    typedef T type __attribute__((vector_size(N * sizeof(T)), aligned(sizeof(T)), may_alias));  // loads need no alignment
};
template <class T, int N = LANES<T>> using Vector = typename VectorOf<T, N>::type;

inline int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
inline int64_t ceil_div(int64_t n, int64_t d) { return (n + d - 1) / d; }

// Memory that a thread keeps between calls; its size is bounded by the block sizes, never by the data.
template <class T> T* scratch(int slot, int64_t elements) {
    struct Free { void operator()(void* p) const { ::operator delete(p, std::align_val_t(64)); } };
    struct Buffer { std::unique_ptr<void, Free> data; int64_t bytes = 0; };
    static thread_local Buffer buffers[3];
    Buffer& b = buffers[slot];
    const int64_t bytes = elements * int64_t(sizeof(T));
    if (b.bytes < bytes) {
        b.data.reset();
        b.data.reset(::operator new(size_t(bytes), std::align_val_t(64)));
        b.bytes = bytes;
    }
    return static_cast<T*>(b.data.get());
}

// Runs f(0) ... f(n - 1): shared among the threads of a team, which then wait for each other, or one after the other.
template <class F> inline void each(bool team, int64_t n, F f) {
    if (team) {
#pragma omp for schedule(dynamic)
        for (int64_t t = 0; t < n; ++t) f(t);
    } else {
        for (int64_t t = 0; t < n; ++t) f(t);
    }
}

// ---------------------------------------------------------------- micro-kernel

// What happens to a tile of C: begin with zero, with what is there, or with one number per row (a bias).
enum class Start { zero, add, bias };

// c[i][j] (rows i < M, columns j < columns, row stride ldc) gets sum over k of a[k][i] b[k][j]. Rows of b lie ldb apart: NR when packed.
template <class T, int M, int V>
void micro(int64_t k, const T* a, const T* b, int64_t ldb, T* c, int64_t ldc, int columns, Start start, const T* bias) {
    using Vec = Vector<T>;
    constexpr int W = LANES<T>;
    Vec acc[M][V];
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 3
        for (int j = 0; j < V; ++j) acc[i][j] = Vec{};
    for (int64_t p = 0; p < k; ++p, a += MR, b += ldb) {
        Vec row[V];
#pragma GCC unroll 3
        for (int j = 0; j < V; ++j) row[j] = *reinterpret_cast<const Vec*>(b + j * W);
#pragma GCC unroll 8
        for (int i = 0; i < M; ++i)
#pragma GCC unroll 3
            for (int j = 0; j < V; ++j) acc[i][j] += a[i] * row[j];
    }
    if (start == Start::bias)
#pragma GCC unroll 8
        for (int i = 0; i < M; ++i)
#pragma GCC unroll 3
            for (int j = 0; j < V; ++j) acc[i][j] += bias[i];
    if (columns == V * W) {
#pragma GCC unroll 8
        for (int i = 0; i < M; ++i)
#pragma GCC unroll 3
            for (int j = 0; j < V; ++j) {
                Vec* at = reinterpret_cast<Vec*>(c + i * ldc + j * W);
                *at = start == Start::add ? *at + acc[i][j] : acc[i][j];
            }
        return;
    }
    alignas(64) T tile[M][V * W];
    std::memcpy(tile, acc, sizeof tile);
    for (int i = 0; i < M; ++i)
        for (int j = 0; j < columns; ++j) c[i * ldc + j] = start == Start::add ? c[i * ldc + j] + tile[i][j] : tile[i][j];
}

template <class T> using Micro = void (*)(int64_t, const T*, const T*, int64_t, T*, int64_t, int, Start, const T*);

template <class T, size_t... I> constexpr auto micro_table(std::index_sequence<I...>) {
    struct Table { Micro<T> at[sizeof...(I)]; };
    return Table{{&micro<T, int(I) / NV + 1, int(I) % NV + 1>...}};
}

// The micro-kernel for a tile of `rows` x `columns`: at the edges a smaller one, so that little work is thrown away.
template <class T> inline Micro<T> micro_for(int rows, int columns) {
    static constexpr auto table = micro_table<T>(std::make_index_sequence<size_t(MR) * NV>());
    return table.at[(rows - 1) * NV + (columns - 1) / LANES<T>];
}

// C (rows x columns) from packed A (panels of MR rows, each MR * k) and packed B (panels of NR columns, each NR * k); with ldb B lies
// as a plain matrix of whole vectors. The panel of A stays in the first cache level while the panels of B stream by from the second.
template <class T>
void block(int64_t rows, int64_t columns, int64_t k, const T* a, const T* b, T* c, int64_t ldc, Start start, int64_t ldb = 0) {
    for (int64_t i = 0; i < rows; i += MR, a += MR * k) {
        const int m = int(std::min<int64_t>(MR, rows - i));
        for (int64_t j = 0; j < columns; j += NR<T>) {
            const int n = int(std::min<int64_t>(NR<T>, columns - j));
            micro_for<T>(m, n)(k, a, ldb ? b + j : b + j * k, ldb ? ldb : NR<T>, c + i * ldc + j, ldc, n, start, nullptr);
        }
    }
}

// ---------------------------------------------------------------- packing

// Lane masks of one step of the transposition below: the first (or second) of two rows after swapping blocks of H lanes.
template <class I, int N, int H, bool SECOND, size_t... L> constexpr Vector<I, N> swap_mask(std::index_sequence<L...>) {
    return Vector<I, N>{I(SECOND ? (L & H ? N + L : L + H) : (L & H ? N + L - H : L))...};
}

template <class T, int N, int H> inline void swap_blocks(Vector<T, N>* r) {
    using I = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
    constexpr auto lanes = std::make_index_sequence<N>();
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i)
        if (!(i & H)) {
            const Vector<T, N> x = r[i], y = r[i | H];
            r[i] = __builtin_shuffle(x, y, swap_mask<I, N, H, false>(lanes));
            r[i | H] = __builtin_shuffle(x, y, swap_mask<I, N, H, true>(lanes));
        }
}

// dst[p * step + i] = src[i * ld + p] for i, p < N: an N x N block turned over in registers, log2(N) rounds of shuffles.
template <class T, int N> inline void transpose_block(const T* src, int64_t ld, T* dst, int64_t step) {
    using Vec = Vector<T, N>;
    Vec r[N];
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) r[i] = *reinterpret_cast<const Vec*>(src + i * ld);
    if constexpr (N > 8) swap_blocks<T, N, 8>(r);
    if constexpr (N > 4) swap_blocks<T, N, 4>(r);
    if constexpr (N > 2) swap_blocks<T, N, 2>(r);
    swap_blocks<T, N, 1>(r);
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) *reinterpret_cast<Vec*>(dst + i * step) = r[i];
}

// One panel of width R: dst[p * R + i] = src[i * rs + p * cs] for i < rows, p < k. The lanes beyond stay as they are: micro-kernels
// compute whole vectors and drop what lies outside C.
template <class T, int R> void pack_panel(const T* src, int64_t rs, int64_t cs, int rows, int64_t k, T* dst) {
    constexpr int B = R % LANES<T> == 0 ? LANES<T> : (R % 8 == 0 && LANES<T> > 8 ? 8 : std::min(R, LANES<T>));
    if (rs == 1) {
        if (rows == R)
            for (int64_t p = 0; p < k; ++p) std::memcpy(dst + p * R, src + p * cs, R * sizeof(T));
        else
            for (int64_t p = 0; p < k; ++p)
                for (int i = 0; i < rows; ++i) dst[p * R + i] = src[p * cs + i];
        return;
    }
    int64_t done = 0;  // columns packed for the rows of whole blocks
    const int whole = cs == 1 ? rows / B * B : 0;
    if (whole)
        for (; done + B <= k; done += B)
            for (int i = 0; i < whole; i += B) transpose_block<T, B>(src + i * rs + done, rs, dst + done * R + i, R);
    for (int i = 0; i < rows; ++i)
        for (int64_t p = i < whole ? done : 0; p < k; ++p) dst[p * R + i] = src[i * rs + p * cs];
}

// Panels of width R from a matrix of `rows` x k (strides rs, cs): panel after panel, each R * k.
template <class T, int R> void pack(const T* src, int64_t rs, int64_t cs, int64_t rows, int64_t k, T* dst) {
    for (int64_t i = 0; i < rows; i += R) pack_panel<T, R>(src + i * rs, rs, cs, int(std::min<int64_t>(R, rows - i)), k, dst + i * k);
}

}  // namespace tg::gemm
