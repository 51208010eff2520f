// What the rungs share: x (B, H, L, D) of any steps but for neighbouring features, y without gaps, tables of cos and sin (L, D / 2).
//
//   y_p = x_p cos - x_q sin,  y_q = x_p sin + x_q cos          p, q of pair i: i and i + D / 2, or 2 i and 2 i + 1 where interleaved
#pragma once
#include "../../core/registry.h"
#include "../../device/element.cuh"

namespace tg::rotary_embedding {

using device::Wide;

constexpr int THREADS = 256;

template <class T> struct Heads {
    T* y;
    const T* x;
    device::Parameter<T> cos, sin;
    int64_t steps[3];  // of x along B, H, L
    int B, H, L, pairs;
    bool interleaved;
    Wide<T> sign;  // of the angle

    Heads(Array& y, const Array& x, const Array& cos, const Array& sin, int64_t interleaved, int64_t inverse)
        : y(y.ptr<T>()), x(x.ptr<const T>()), cos(cos), sin(sin), steps{x.strides[0], x.strides[1], x.strides[2]},
          B(device::length_of(x.shape[0], "a batch")), H(device::length_of(x.shape[1], "heads")), L(device::length_of(x.shape[2], "positions")),
          pairs(device::length_of(x.shape[3] / 2, "a head")), interleaved(interleaved), sign(inverse ? -1 : 1) {}

    // Head h of all B * H, position l: where its features begin in x and in y.
    __device__ const T* from(int64_t h, int l) const { return x + h / H * steps[0] + h % H * steps[1] + l * steps[2]; }
    __device__ T* to(int64_t h, int l) const { return y + (h * L + l) * (2 * int64_t(pairs)); }
};

template <class T> __device__ inline void turn(Wide<T>& p, Wide<T>& q, Wide<T> cos, Wide<T> sin) {
    const Wide<T> turned = p * cos - q * sin;
    q = p * sin + q * cos;
    p = turned;
}

template <class Rung> void run(Array& y, const Array& x, const Array& cos, const Array& sin, int64_t interleaved, int64_t inverse) {
    if (x.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() { Rung::solve(Heads<T>(y, x, cos, sin, interleaved, inverse)); });
}

}  // namespace tg::rotary_embedding
