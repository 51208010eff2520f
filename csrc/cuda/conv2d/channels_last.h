// Weights with the channels last, as the rungs on tensor cores read them.
#pragma once
#include "problem.h"

namespace tg::conv2d {

// k runs over taps first, then channels.
template <class T> __device__ typename Problem<T>::Tap tap_of(const Problem<T>& p, int k) {
    const int tap = k / p.channels;
    return {k % p.channels, tap / p.x.taps, tap % p.x.taps};
}

// The weights with the channels last: thread t owns element t, (group, row, (i, j), c).
template <class T> __global__ void channels_last(const __grid_constant__ Problem<T> p, T* packed, int64_t count) {
    const int64_t thread = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= count) return;
    const auto tap = tap_of(p, int(thread % p.depth()));
    const int64_t row = thread / p.depth();
    packed[thread] = p.weight.at(row % p.rows, tap.c, tap.i, tap.j)[row / p.rows * p.weight.group];
}

}  // namespace tg::conv2d
