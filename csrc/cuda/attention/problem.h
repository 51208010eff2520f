// What every rung of the ladder is asked: softmax(scale q k^T + mask) v for heads laid out by strides, and which pairs may meet.
//
// Scores are in powers of two: exp(x) = 2^(x log2 e), and 2^x is what the hardware computes. A score of -inf has weight 0.
#pragma once
#include "../../core/registry.h"
#include "../../gpu.h"
#include "dropout.h"

namespace tg::attention {

constexpr double LOG2E = 1.44269504088896340736, LN2 = 0.69314718055994530942;

// Sums and statistics of a dtype: fp32, for doubles fp64.
template <class T> using SumOf = std::conditional_t<std::is_same_v<T, double>, double, float>;

__device__ __forceinline__ float power_of_two(float x) { return exp2f(x); }
__device__ __forceinline__ double power_of_two(double x) { return exp2(x); }
__device__ __forceinline__ float logarithm(float x) { return log2f(x); }
__device__ __forceinline__ double logarithm(double x) { return log2(x); }

// Vectors of neighbouring elements, one for each (batch, head, position).
template <class T> struct Heads {
    T* data = nullptr;
    int64_t batch = 0, head = 0, row = 0;

    Heads() = default;
    explicit Heads(const Array& a) : data(a.ptr<T>()), batch(a.strides[0]), head(a.strides[1]), row(a.strides[2]) {}
    __device__ T* at(int b, int h, int i) const { return data + b * batch + h * head + i * row; }
};

// True where a query may look, or a number added to the score; steps of 0 where it is broadcast.
struct Mask {
    const void* data = nullptr;
    int64_t batch = 0, head = 0, query = 0, key = 0;
    bool additive = false;

    Mask() = default;
    explicit Mask(const Array& a) : data(a.data) {
        if (!a) return;
        batch = a.strides[0], head = a.strides[1], query = a.strides[2], key = a.strides[3];
        additive = a.dtype != DType::boolean;
    }
};

template <class T> struct Problem {
    using Sum = SumOf<T>;
    Heads<const T> q, k, v;
    Mask mask;
    int batch, heads, group, queries, keys, width, value_width;  // `group` query heads share a key head
    bool causal;
    Sum scale;
    Dropout dropout;
    Sum factor;  // of a weight that dropout keeps, and so of their sums

    // The score of query i and key j, given the product of their vectors: -inf where the query may not look, or where one is missing.
    template <bool MASKS = true> __device__ __forceinline__ Sum score(Sum product, int b, int h, int i, int j) const {
        if (i >= queries || j >= keys || (causal && j > i)) return Sum(-INFINITY);
        Sum s = product * (scale * Sum(LOG2E));
        if (MASKS && mask.data) {
            const int64_t at = b * mask.batch + h * mask.head + i * mask.query + j * mask.key;
            if (mask.additive) s += Sum(static_cast<const T*>(mask.data)[at]) * Sum(LOG2E);
            else if (!static_cast<const uint8_t*>(mask.data)[at]) s = Sum(-INFINITY);
        }
        return s;
    }

    // Where a query's statistics lie: its number among all of them.
    __host__ __device__ int64_t number(int b, int h, int i) const { return (int64_t(b) * heads + h) * queries + i; }
    __host__ __device__ int64_t rows() const { return number(batch, 0, 0); }
};

inline int dimension(int64_t n) {
    if (n > 1 << 30) throw std::invalid_argument("a dimension of " + std::to_string(n) + " is beyond 2^30");
    return int(n);
}

template <class T> Problem<T> problem_of(const Array& q, const Array& k, const Array& v, const Array& mask, int64_t causal, double scale,
                                         const Draw& draw) {
    Problem<T> p;
    p.q = Heads<const T>(q), p.k = Heads<const T>(k), p.v = Heads<const T>(v), p.mask = Mask(mask);
    p.batch = dimension(q.shape[0]), p.heads = dimension(q.shape[1]), p.group = k.shape[1] ? int(q.shape[1] / k.shape[1]) : 1;
    p.queries = dimension(q.shape[2]), p.keys = dimension(k.shape[2]);
    p.width = dimension(q.shape[3]), p.value_width = dimension(v.shape[3]);
    p.causal = causal != 0, p.scale = SumOf<T>(scale);
    p.dropout = Dropout(draw, p.keys), p.factor = SumOf<T>(draw.limit ? draw.factor : 0);
    return p;
}

template <class T> constexpr DType DTYPE = std::is_same_v<T, double>          ? DType::float64
                                           : std::is_same_v<T, float>         ? DType::float32
                                           : std::is_same_v<T, __nv_bfloat16> ? DType::bfloat16
                                                                              : DType::float16;

// Calls `solve` with the type of a dtype, one of those a rung is made for: `by_dtype<float, double>(q.dtype, solve)`.
template <class... T, class F> void by_dtype(DType dtype, F&& solve) {
    if (!((dtype == DTYPE<T> ? (solve.template operator()<T>(), true) : false) || ...))
        throw std::invalid_argument("the kernel does not compute this dtype");
}

// Calls `solve` with the smallest of the head sizes a rung is compiled for that holds this one.
template <int FIRST, int... MORE, class F> void by_width(int64_t width, F&& solve) {
    if (width <= FIRST) return solve(std::integral_constant<int, FIRST>());
    if constexpr (sizeof...(MORE) > 0) by_width<MORE...>(width, solve);
    else throw std::invalid_argument("heads of size " + std::to_string(width) + " are beyond " + std::to_string(FIRST));
}

__host__ __device__ constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }
inline unsigned blocks(int64_t n) {
    if (n > 0x7fffffff) throw std::invalid_argument(std::to_string(n) + " blocks are more than a grid has");
    return unsigned(n);
}

// Two numbers rounded to 16 bits, side by side in a register.
template <class V> __device__ __forceinline__ unsigned bits_of(V pair) {
    static_assert(sizeof(V) == sizeof(unsigned));
    unsigned bits;
    memcpy(&bits, &pair, sizeof bits);
    return bits;
}
__device__ __forceinline__ unsigned pack(float x, float y, __nv_bfloat16) { return bits_of(__floats2bfloat162_rn(x, y)); }
__device__ __forceinline__ unsigned pack(float x, float y, __half) { return bits_of(__floats2half2_rn(x, y)); }

// Whether vectors can be moved 16 bytes at a time: each starts at a multiple of 16 bytes.
template <class T> bool in_chunks(const Heads<T>& x) {
    return reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && x.batch % 8 == 0 && x.head % 8 == 0 && x.row % 8 == 0;
}

// The piece of a grid's work that is a block's: one tile of positions of one head. The last tile comes first: under a causal mask
// it is the longest, and short blocks fill the end of a launch better.
struct Place {
    int batch, head, first;
};
template <int SIDE> __device__ Place place_of_block(int heads, int batch, int positions) {
    const int all = heads * batch, tile = ceil_div(positions, SIDE) - 1 - int(blockIdx.x) / all, which = int(blockIdx.x) % all;
    return {which / heads, which % heads, tile * SIDE};
}

}  // namespace tg::attention
