// The columns of v01: every patch of some images written out as a column of a matrix, (channels taps, pixels) for each image.
#pragma once
#include "problem.h"

namespace tg::conv2d {

struct Piece {  // of one group: all rows of some images, or some rows of one image
    int n, images, first_row, rows;

    __host__ __device__ int64_t pixels(int across) const { return int64_t(rows) * across; }
};

// Thread t owns element t of the columns, pixels fastest: a warp writes without gaps, and reads without gaps where the stride is 1.
template <class T> __global__ void im2col(const __grid_constant__ Problem<T> p, Piece piece, T* columns, int64_t count) {
    const int64_t thread = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= count) return;
    const int x = int(thread % p.x.grid), y = piece.first_row + int(thread / p.x.grid % piece.rows);
    const int64_t row = thread / p.x.grid / piece.rows;
    const int k = int(row % p.depth()), n = piece.n + int(row / p.depth());
    const int j = k % p.x.taps, i = k / p.x.taps % p.y.taps, c = k / p.x.taps / p.y.taps;
    const int at_y = p.y.at(y, i), at_x = p.x.at(x, j);
    columns[thread] = p.y.inside(at_y) && p.x.inside(at_x) ? *p.image.at(n, c, at_y, at_x) : T(0);
}

// Thread t owns element t of the images' gradient and gathers what the columns hold of it: no two threads add to the same place.
// With `add` the piece is one of several of its image.
template <class T> __global__ void col2im(const __grid_constant__ Problem<T> p, Piece piece, const T* columns, bool add, int64_t count) {
    const int64_t thread = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= count) return;
    const int x = int(thread % p.x.image), y = int(thread / p.x.image % p.y.image);
    const int64_t plane = thread / p.x.image / p.y.image;
    const int c = int(plane % p.channels), n = int(plane / p.channels);
    T sum = 0;
    for (int i = 0; i < p.y.taps; ++i) {
        const int down = y - p.y.at(0, i), at_y = down / p.y.step - piece.first_row;
        if (down < 0 || down % p.y.step || at_y < 0 || at_y >= piece.rows) continue;
        for (int j = 0; j < p.x.taps; ++j) {
            const int right = x - p.x.at(0, j), at_x = right / p.x.step;
            if (right < 0 || right % p.x.step || at_x >= p.x.grid) continue;
            const int64_t k = (int64_t(n) * p.depth() + (c * p.y.taps + i) * p.x.taps + j) * piece.rows;
            sum += columns[(k + at_y) * p.x.grid + at_x];
        }
    }
    T* to = p.image.at(piece.n + n, c, y, x);
    *to = add ? *to + sum : sum;
}

// The weights of a group as a matrix without gaps, (rows, channels taps): thread t owns element t.
template <class T> __global__ void pack_weight(const __grid_constant__ Problem<T> p, T* packed, int64_t count) {
    const int64_t thread = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= count) return;
    const int k = int(thread % p.depth()), row = int(thread / p.depth());
    packed[thread] = *p.weight.at(row, k / p.x.taps / p.y.taps, k / p.x.taps % p.y.taps, k % p.x.taps);
}

// dw += the sum of the partial products of some images, in order; thread t owns element t.
template <class T> __global__ void add_parts(T* dw, const T* parts, int images, bool add, int64_t count) {
    const int64_t thread = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= count) return;
    T sum = add ? dw[thread] : T(0);
    for (int n = 0; n < images; ++n) sum += parts[n * count + thread];
    dw[thread] = sum;
}

template <class T> __global__ void add_bias(const __grid_constant__ Problem<T> p, int64_t count) {
    const int64_t thread = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= count) return;
    const int x = int(thread % p.x.grid), y = int(thread / p.x.grid % p.y.grid);
    const int64_t plane = thread / p.x.grid / p.y.grid;
    *p.output.at(plane / p.rows, plane % p.rows, y, x) += p.bias[plane % p.rows];
}

template <class T> __global__ void clear(const __grid_constant__ Problem<T> p, int64_t count) {  // the image
    const int64_t thread = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= count) return;
    const int x = int(thread % p.x.image), y = int(thread / p.x.image % p.y.image);
    const int64_t plane = thread / p.x.image / p.y.image;
    *p.image.at(plane / p.channels, plane % p.channels, y, x) = T(0);
}

}  // namespace tg::conv2d
