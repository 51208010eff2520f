// What the kernels of indexed access share: numbers of threads taken apart, columns of any strides, what sums are held in.
#pragma once
#include <type_traits>

#include "../../core/registry.h"
#include "../../device/element.cuh"

namespace tg::indexing {

constexpr int THREADS = 256;
constexpr unsigned MOST_BLOCKS = 1 << 16;

using device::FLOATS;
using device::Wide;

// Many terms are added in double and rounded once, as on the CPU; those of half precision in float, integers in 64 bits.
template <class T> using Sum = std::conditional_t<std::is_integral_v<T>, int64_t, std::conditional_t<sizeof(T) == 2, float, double>>;
template <class T> __device__ __forceinline__ Sum<T> widened(T x) { return static_cast<Sum<T>>(x); }
template <class T> __device__ __forceinline__ T rounded(Sum<T> sum) { return static_cast<T>(sum); }

// The threads of a launch stride over the grid: for (int64_t i = first_item(); i < count; i += items_at_once()).
__device__ inline int64_t first_item() { return blockIdx.x * int64_t(THREADS) + threadIdx.x; }
__device__ inline int64_t items_at_once() { return gridDim.x * int64_t(THREADS); }
inline unsigned blocks_for(int64_t count) {
    const int64_t blocks = (count + THREADS - 1) / THREADS;
    return unsigned(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS);
}

// i = whole * n + rest. Division in 32 bits, where they do, costs a fraction of one in 64.
struct Split {
    int64_t whole, rest;
    __device__ Split(int64_t i, int64_t n) {
        if (i >> 32 || n >> 32) whole = i / n;
        else whole = unsigned(i) / unsigned(n);
        rest = i - whole * n;
    }
};

// (outer, n, inner) of any strides.
template <class T> struct Columns {
    T* data;
    int64_t n, inner, step[3];
    explicit Columns(const Array& a) : data(a.ptr<T>()), n(a.shape[1]), inner(a.shape[2]), step{a.strides[0], a.strides[1], a.strides[2]} {}
    __device__ T& at(int64_t o, int64_t m, int64_t i) const { return data[o * step[0] + m * step[1] + i * step[2]]; }
};

}  // namespace tg::indexing
