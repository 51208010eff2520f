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

// Turns the weights into the workspace, where they lie as a matrix (rows, taps channels) for each group; false: there is no room.
template <class T> bool turned(Problem<T>& p, Array& space) {
    constexpr int THREADS_TO_TURN = 256;
    const auto begin = reinterpret_cast<uintptr_t>(space.data), aligned = (begin + 15) / 16 * 16;
    const int64_t size = int64_t(p.groups) * p.rows * p.depth(), bytes = space.size() * int64_t(sizeof(float));
    if (int64_t(aligned - begin) + size * int64_t(sizeof(T)) > bytes) return false;
    T* const to = reinterpret_cast<T*>(aligned);
    launch(channels_last<T>, blocks_for(size, THREADS_TO_TURN), THREADS_TO_TURN, 0, current_stream, p, to, size);
    p.weight = {to, {p.depth(), 1, int64_t(p.x.taps) * p.channels, p.channels}, int64_t(p.rows) * p.depth()};
    return true;
}

}  // namespace tg::conv2d
