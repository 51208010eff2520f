// What the rungs of pooling share: images of any strides, windows along a dimension, chunks of channels.
#pragma once
#include "../conv2d/problem.h"

namespace tg::pooling {

using conv2d::blocks_for;
using conv2d::by_dtype;
using conv2d::Strided;
using conv2d::Sum;
using matmul::dimension;

constexpr int THREADS = 256;

template <class T> Strided<T> strided(const Array& a) {
    if (!a) return {};
    return {a.ptr<T>(), {a.strides[0], a.strides[1], a.strides[2], a.strides[3]}, 0};
}

// Number t of an array (N, C, H, W) as its indices, the last fastest; with the channels last, and `wide` of them to a thread, C is.
struct Shape {
    int N, C, H, W;

    explicit Shape(const Array& a) : N(dimension(a.shape[0])), C(dimension(a.shape[1])), H(dimension(a.shape[2])), W(dimension(a.shape[3])) {}
    __host__ __device__ int64_t size() const { return int64_t(N) * C * H * W; }

    struct At {
        int n, c, h, w;
    };
    __device__ At planes_first(int64_t t) const {
        const int64_t plane = t / W / H;
        return {int(plane / C), int(plane % C), int(t / W % H), int(t % W)};
    }
    __device__ At channels_last(int64_t t, int wide) const {
        const int64_t pixel = t / (C / wide), row = pixel / W;
        return {int(row / H), int(t % (C / wide)) * wide, int(row % H), int(pixel % W)};
    }
};

// Along one dimension, window i holds the positions begin(i), begin(i) + step, ... below end(i).
struct Regular {
    int length, kernel, stride, padding, step;

    __device__ int begin(int i) const {
        const int first = i * stride - padding;
        return first >= 0 ? first : first + (-first + step - 1) / step * step;
    }
    __device__ int end(int i) const { return min(i * stride - padding + (kernel - 1) * step + 1, length); }
};
struct Ranges {
    const int64_t *begins, *ends;
    static constexpr int step = 1;

    explicit Ranges(const Array& begin, const Array& end) : begins(begin.ptr<int64_t>()), ends(end.ptr<int64_t>()) {}
    __device__ int begin(int i) const { return int(begins[i]); }
    __device__ int end(int i) const { return int(ends[i]); }
};

// The first wins among equals and the last among NaNs, as in a loop over the window by rows.
template <class S> __device__ bool beats(S value, S best) { return value > best || value != value; }

// Calls `f` with the type of indices, int32 or int64; None is no indices, of either.
template <class F> void by_index(const Array& indices, F&& f) {
    if (indices && indices.dtype == DType::int64) f.template operator()<int64_t>();
    else f.template operator()<int32_t>();
}

inline void check_plane(const Array& x) {
    if (x.shape[2] * x.shape[3] > 0x7fffffff / 2) throw std::invalid_argument("a plane of x has more than 2^30 elements");
}

template <class... P, class... A> void launch_each(void (*kernel)(P...), const Shape& out, A... arguments) {
    if (out.size()) launch(kernel, blocks_for(out.size(), THREADS), THREADS, 0, current_stream, arguments...);
}

// Neighbouring channels: 16 bytes, or as many of another type as go with 16 bytes; moved 16 bytes at a time.
template <class T, int N = 16 / sizeof(T)> struct alignas(16) Chunk {
    static constexpr int WIDE = N;
    T at[WIDE];
};
template <int N = 0, class T> __device__ auto load(const T* from) {
    Chunk<T, N ? N : 16 / sizeof(T)> chunk;
    uint4 raw[sizeof chunk / 16];
#pragma unroll
    for (unsigned i = 0; i < sizeof chunk / 16; ++i) raw[i] = reinterpret_cast<const uint4*>(from)[i];
    memcpy(static_cast<void*>(&chunk), raw, sizeof chunk);
    return chunk;
}
template <class T, int N> __device__ void store(T* to, const Chunk<T, N>& chunk) {
    uint4 raw[sizeof chunk / 16];
    memcpy(static_cast<void*>(raw), static_cast<const void*>(&chunk), sizeof chunk);
#pragma unroll
    for (unsigned i = 0; i < sizeof chunk / 16; ++i) reinterpret_cast<uint4*>(to)[i] = raw[i];
}

// Of an array of T, or of indices that go with one.
template <class T> void check_layout(const Array& a) {
    bool good = a.strides[1] == 1 && a.shape[1] % Chunk<T>::WIDE == 0 && reinterpret_cast<uintptr_t>(a.data) % 16 == 0;
    for (int d : {0, 2, 3}) good = good && (a.shape[d] == 1 || a.strides[d] % Chunk<T>::WIDE == 0);
    if (!good && a.size()) throw std::invalid_argument("needs the channels last in memory, in groups of 16 aligned bytes");
}

template <class T, class... P, class... A> void launch_chunks(void (*kernel)(P...), const Shape& out, A... arguments) {
    const int64_t count = out.size() / Chunk<T>::WIDE;
    if (count) launch(kernel, blocks_for(count, THREADS), THREADS, 0, current_stream, arguments...);
}

}  // namespace tg::pooling
