// The one template of element-wise kernels: y = f(a, b, c) for arrays of any strides that broadcast to y. Out is what y holds, First what
// a holds, In what the others hold; f computes in Computed<In>. A formula of two results has an array more behind those it reads.
//
// Neighbouring dimensions that every array steps through evenly become one, so that most calls have a single dimension. Where the
// last one is dense in every array, or does not move, a thread computes 16 bytes' worth of elements between vector loads and a vector
// store; else one element. Threads stride over the grid.
#pragma once
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "../../core/registry.h"
#include "../../gpu.h"

namespace tg::pointwise {

constexpr int THREADS = 256;
constexpr unsigned MOST_BLOCKS = 1 << 14;
constexpr int64_t AT_ONCE = 1 << 30;  // elements of a launch: they are numbered in 32 bits, their places in 64

// Half precision is computed in float.
template <class S> constexpr bool IS_HALF = std::is_same_v<S, __half> || std::is_same_v<S, __nv_bfloat16>;
template <class S> using Computed = std::conditional_t<IS_HALF<S>, float, S>;

template <int BYTES> struct Bits;
template <> struct Bits<1> { using type = uint8_t; };
template <> struct Bits<2> { using type = uint16_t; };
template <> struct Bits<4> { using type = unsigned; };
template <> struct Bits<8> { using type = uint2; };
template <> struct Bits<16> { using type = uint4; };

template <int N, class S> __device__ __forceinline__ void load(S (&v)[N], const S* p) {
    using Whole = typename Bits<N * sizeof(S)>::type;
    const Whole whole = *reinterpret_cast<const Whole*>(p);
    memcpy(static_cast<void*>(&v), &whole, sizeof whole);
}
template <int N, class S> __device__ __forceinline__ void store(S* p, const S (&v)[N]) {
    using Whole = typename Bits<N * sizeof(S)>::type;
    Whole whole;
    memcpy(static_cast<void*>(&whole), &v, sizeof whole);
    *reinterpret_cast<Whole*>(p) = whole;
}

// Array 0 is the one written, arrays 1 to N are read.
template <int N> struct Layout {
    char* data[N + 1];
    bool in_float[N + 1];  // a number, as a float without dimensions, beside arrays of half precision
    int ndim;
    int64_t total;
    int64_t shape[MAX_DIMS + 1], step[MAX_DIMS + 1][N + 1];  // in elements

    bool dense(int j) const { return step[ndim - 1][j] == 1; }
};

template <class In, int N> Layout<N> layout_of(const char* op, const Array& y, const Array* const (&in)[N]) {
    Layout<N> l{};
    const Array* arrays[N + 1] = {&y};
    for (int j = 0; j < N; ++j) arrays[j + 1] = in[j];
    for (int j = 0; j <= N; ++j) {
        l.data[j] = arrays[j]->template ptr<char>();
        l.in_float[j] = j > 0 && IS_HALF<In> && arrays[j]->dtype == DType::float32 && arrays[j]->ndim == 0;
    }
    l.total = y.size();
    for (int d = 0; d < y.ndim; ++d) {
        const int64_t n = y.shape[d];
        if (n == 1) continue;
        int64_t s[N + 1];
        bool merges = l.ndim > 0;
        for (int j = 0; j <= N; ++j) {
            const int own = d - (y.ndim - arrays[j]->ndim);  // dimensions align at the end
            if (own >= 0 && arrays[j]->shape[own] != 1 && arrays[j]->shape[own] != n)
                throw std::invalid_argument(std::string(op) + ": argument " + std::to_string(j) + " has size " + std::to_string(arrays[j]->shape[own]) +
                                            " where the result has " + std::to_string(n));
            s[j] = own < 0 || arrays[j]->shape[own] == 1 ? 0 : arrays[j]->strides[own];
            merges = merges && l.step[l.ndim - 1][j] == s[j] * n;
        }
        if (!merges) l.shape[l.ndim++] = 1;
        l.shape[l.ndim - 1] *= n;
        for (int j = 0; j <= N; ++j) l.step[l.ndim - 1][j] = s[j];
    }
    if (l.ndim == 0) l.shape[l.ndim++] = 1;
    return l;
}

// What a launch is told: the same in vectors of VEC elements, and how many elements are left behind the last whole one.
template <int N> struct Grid {
    char* data[N + 1];
    bool in_float[N + 1];
    int ndim;
    unsigned items, left;
    unsigned shape[MAX_DIMS + 1];
    int64_t step[MAX_DIMS + 1][N + 1];
};

template <class S, class C, int N> __device__ __forceinline__ C element(const Grid<N>& g, int j, int64_t at) {
    if (IS_HALF<S> && g.in_float[j]) return C(*reinterpret_cast<const float*>(g.data[j]));
    return C(reinterpret_cast<const S*>(g.data[j])[at]);
}

// The values of array j for the VEC elements from `at` on.
template <class S, class C, int VEC, int N> __device__ __forceinline__ void fetch(C (&v)[VEC], const Grid<N>& g, int j, int64_t at) {
    if (VEC > 1 && g.step[g.ndim - 1][j] != 0) {
        S raw[VEC];
        load(raw, reinterpret_cast<const S*>(g.data[j]) + at);
#pragma unroll
        for (int i = 0; i < VEC; ++i) v[i] = C(raw[i]);
    } else {
        const C same = element<S, C>(g, j, at);
#pragma unroll
        for (int i = 0; i < VEC; ++i) v[i] = same;
    }
}

template <class Out, class F, class C, int N> __device__ __forceinline__ Out apply(const F& f, const C (&v)[N]) {
    if constexpr (N == 1) return Out(f(v[0]));
    else if constexpr (N == 2) return Out(f(v[0], v[1]));
    else return Out(f(v[0], v[1], v[2]));
}

// A formula of two results takes where the second goes as its last argument.
template <class F, class C> constexpr bool IS_PAIR = std::is_invocable_v<const F&, C, C, C, C&>;
template <class Out, class F, class C, int N> __device__ __forceinline__ Out apply(const F& f, const C (&v)[N], Out& second) {
    C more;
    const Out first = Out(f(v[0], v[1], v[2], more));
    second = Out(more);
    return first;
}

template <class Out, class First, class In, int VEC, int N, class F>
__global__ void __launch_bounds__(THREADS) map(const __grid_constant__ Grid<N> g, const F f) {
    using C = Computed<In>;
    constexpr bool PAIR = IS_PAIR<F, C>;
    constexpr int READ = N - PAIR;
    Out* const y = reinterpret_cast<Out*>(g.data[0]);
    [[maybe_unused]] Out* const z = reinterpret_cast<Out*>(g.data[N]);
    const unsigned end = g.items + (VEC > 1 && g.left ? 1 : 0);
    for (unsigned item = blockIdx.x * THREADS + threadIdx.x; item < end; item += gridDim.x * THREADS) {
        int64_t at[N + 1] = {};
        unsigned rest = item;
        for (int d = g.ndim - 1; d >= 0; --d) {
            const unsigned i = d ? rest % g.shape[d] : rest;
            rest /= g.shape[d];
#pragma unroll
            for (int j = 0; j <= N; ++j) at[j] += i * g.step[d][j];
        }
        if (VEC > 1 && item == g.items) {  // the last vector is not whole; there is one dimension, dense or not moving
            for (unsigned k = 0; k < g.left; ++k) {
                C v[READ];
                v[0] = element<First, C>(g, 1, at[1] + (g.step[0][1] ? k : 0));
#pragma unroll
                for (int j = 1; j < READ; ++j) v[j] = element<In, C>(g, j + 1, at[j + 1] + (g.step[0][j + 1] ? k : 0));
                if constexpr (PAIR) y[at[0] + k] = apply<Out>(f, v, z[at[N] + k]);
                else y[at[0] + k] = apply<Out>(f, v);
            }
            return;
        }
        C v[READ][VEC];
        fetch<First>(v[0], g, 1, at[1]);
#pragma unroll
        for (int j = 1; j < READ; ++j) fetch<In>(v[j], g, j + 1, at[j + 1]);
        Out result[VEC];
        [[maybe_unused]] Out second[VEC];
#pragma unroll
        for (int i = 0; i < VEC; ++i) {
            C one[READ];
#pragma unroll
            for (int j = 0; j < READ; ++j) one[j] = v[j][i];
            if constexpr (PAIR) result[i] = apply<Out>(f, one, second[i]);
            else result[i] = apply<Out>(f, one);
        }
        store(y + at[0], result);
        if constexpr (PAIR) store(z + at[N], second);
    }
}

// Whether VEC elements at a time can be loaded and stored everywhere.
template <class Out, class First, class In, int VEC, int N> bool fits(const Layout<N>& l) {
    const int last = l.ndim - 1;
    if (!l.dense(0) || (l.ndim > 1 && l.shape[last] % VEC)) return false;
    for (int j = 0; j <= N; ++j) {
        if (!l.dense(j)) {
            if (j > 0 && l.step[last][j] == 0) continue;
            return false;
        }
        if (reinterpret_cast<uintptr_t>(l.data[j]) % (VEC * (j > 1 ? sizeof(In) : j ? sizeof(First) : sizeof(Out)))) return false;
        for (int d = 0; d < last; ++d)
            if (l.step[d][j] % VEC) return false;
    }
    return true;
}

template <class Out, class First, class In, int VEC, int N, class F> void start(const Layout<N>& l, const F& f) {
    Grid<N> g{};
    g.ndim = l.ndim;
    g.items = unsigned(l.total / VEC);
    g.left = unsigned(l.total % VEC);
    for (int j = 0; j <= N; ++j) g.data[j] = l.data[j], g.in_float[j] = l.in_float[j];
    for (int d = 0; d < l.ndim; ++d) {
        const int vector = d == l.ndim - 1 ? VEC : 1;
        g.shape[d] = unsigned((l.shape[d] + vector - 1) / vector);
        for (int j = 0; j <= N; ++j) g.step[d][j] = l.step[d][j] * vector;
    }
    const unsigned items = g.items + (g.left ? 1 : 0), blocks = (items + THREADS - 1) / THREADS;
    launch(map<Out, First, In, VEC, N, F>, blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS, THREADS, 0, current_stream, g, f);
}

template <class Out, class First, class In, int N, class F> void run(const Layout<N>& l, const F& f) {
    if (l.total == 0) return;
    if (l.total > AT_ONCE) {  // halves along the first dimension, the first a multiple of every vector long
        const int64_t first = l.shape[0] > 32 ? l.shape[0] / 2 / 16 * 16 : l.shape[0] / 2;
        const auto part = [&](int64_t from, int64_t count) {
            Layout<N> p = l;
            p.shape[0] = count;
            p.total = l.total / l.shape[0] * count;
            for (int j = 0; j <= N; ++j) p.data[j] += from * l.step[0][j] * int64_t(j > 1 ? sizeof(In) : j ? sizeof(First) : sizeof(Out));
            run<Out, First, In>(p, f);
        };
        part(0, first);
        return part(first, l.shape[0] - first);
    }
    constexpr int LARGEST = sizeof(In) > sizeof(Out) ? sizeof(In) : sizeof(Out), VEC = LARGEST > 1 ? 16 / LARGEST : 8;
    if (fits<Out, First, In, VEC>(l)) start<Out, First, In, VEC>(l, f);
    else start<Out, First, In, 1>(l, f);
}

}  // namespace tg::pointwise
