// What the rungs share: x (N, C, S) without gaps, and the window of channels c - size / 2 to c + (size - 1) / 2.
#pragma once
#include "../../core/registry.h"
#include "../../device/element.cuh"

namespace tg::local_response_norm {

using device::Wide;

template <class T> struct Window {
    using A = Wide<T>;
    int64_t pixels;  // of all images
    int64_t S;
    int C, size, before, after;
    A scale, beta, k, factor;

    Window(const Array& x, int64_t n, double alpha, double b, double offset)
        : pixels(x.shape[0] * x.shape[2]), S(x.shape[2]), C(device::length_of(x.shape[1], "a number of channels")),
          size(device::length_of(n, "a window")), before(size / 2), after((size - 1) / 2), scale(A(alpha / double(n))), beta(A(b)),
          k(A(offset)), factor(A(2 * alpha * b / double(n))) {}

    __device__ int64_t first(int64_t pixel) const { return pixel / S * C * S + pixel % S; }  // element of channel 0

    __device__ A power(A s) const {  // s^-beta
        return beta == A(0.75) ? A(1) / (std::sqrt(s) * std::sqrt(std::sqrt(s))) : A(std::pow(s, -beta));
    }
};

}  // namespace tg::local_response_norm
