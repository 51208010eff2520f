// What every rung of the ladder is given: a convolution and its two gradients as one sum over patches of an image.
//
//   output[n, r, y, x] = sum over c, i, j of weight[r, c, i, j] * image[n, c, y * step + from + i * tap, ...]      (pixels outside: 0)
//
// The forward pass is that. The gradient of the input is that too, once for each phase of the stride: the pixels of dx that are a
// stride apart meet the same taps. The gradient of the weight reads image and output and sums into weight.
#pragma once
#include <algorithm>
#include <numeric>

#include "../matmul/problem.h"

namespace tg::conv2d {

using matmul::ceil_div;
using matmul::dimension;
using matmul::DTYPE;

template <class T> using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;  // what T is added up in

// A tensor of four dimensions in memory; group g begins `group` elements after group g - 1.
template <class T> struct Strided {
    T* data;
    int64_t stride[4], group;

    __host__ __device__ T* at(int64_t a, int64_t b, int64_t c, int64_t d) const {
        return data + a * stride[0] + b * stride[1] + c * stride[2] + d * stride[3];
    }
};

struct Line {  // rows, or columns: where taps of patches fall on an image
    int image, grid, taps;
    int step, from, tap;

    __host__ __device__ int at(int position, int i) const { return position * step + from + i * tap; }
    __host__ __device__ bool inside(int place) const { return unsigned(place) < unsigned(image); }
};

template <class T> struct Problem {
    int N, groups, rows, channels;  // rows and channels of one group
    Line y, x;
    Strided<T> image;   // (N, channels, y.image, x.image)
    Strided<T> weight;  // (rows, channels, y.taps, x.taps)
    Strided<T> output;  // (N, rows, y.grid, x.grid)
    const T* bias;      // a number per row of all groups, or none

    __host__ __device__ int pixels() const { return N * y.grid * x.grid; }
    __host__ __device__ int depth() const { return channels * y.taps * x.taps; }

    struct Pixel {
        int n, y, x;
    };
    __device__ Pixel pixel(int q) const { return {q / x.grid / y.grid, q / x.grid % y.grid, q % x.grid}; }
    struct Tap {
        int c, i, j;
    };
    __device__ Tap tap(int k) const { return {k / x.taps / y.taps, k / x.taps % y.taps, k % x.taps}; }  // as weights lie

    // The same problem for one group, which is then number 0.
    __host__ __device__ Problem of_group(int g) const {
        Problem p = *this;
        p.image.data += g * image.group;
        p.weight.data += g * weight.group;
        p.output.data += g * output.group;
        if (bias) p.bias += int64_t(g) * rows;
        return p;
    }
};

struct Options {
    int64_t sh, sw, top, left, dh, dw, groups;
};

template <class T> Strided<T> strided(const Array& a, int64_t group) {
    return {a.ptr<T>(), {a.strides[0], a.strides[1], a.strides[2], a.strides[3]}, group};
}

// The problem of the forward pass; the gradient of the weight is the same one read otherwise.
template <class T> Problem<T> forward_problem(const Array& y, const Array& x, const Array& w, const Array* bias, const Options& o) {
    Problem<T> p{};
    p.N = dimension(x.shape[0]);
    p.groups = dimension(o.groups);
    p.rows = dimension(w.shape[0] / o.groups);
    p.channels = dimension(w.shape[1]);
    p.y = {dimension(x.shape[2]), dimension(y.shape[2]), dimension(w.shape[2]), dimension(o.sh), -dimension(o.top), dimension(o.dh)};
    p.x = {dimension(x.shape[3]), dimension(y.shape[3]), dimension(w.shape[3]), dimension(o.sw), -dimension(o.left), dimension(o.dw)};
    p.image = strided<T>(x, p.channels * x.strides[1]);
    p.weight = strided<T>(w, p.rows * w.strides[0]);
    p.output = strided<T>(y, p.rows * y.strides[1]);
    if (p.y.taps == 1) p.weight.stride[2] = 0;  // a step that is never taken: as 0 it is no reason to turn weights of one tap
    if (p.x.taps == 1) p.weight.stride[3] = 0;
    p.bias = bias && *bias ? bias->ptr<T>() : nullptr;
    dimension(y.shape[0] * y.shape[2] * y.shape[3]);
    dimension(w.shape[1] * w.shape[2] * w.shape[3]);
    return p;
}

// One dimension of the gradient of the input: which taps the positions phase, phase + stride, ... meet, and where.
struct Phase {
    Line line;
    int first, every;  // taps first, first + every, ... of the weight
};
inline Phase phase_of(int phase, int length, int grid, int taps, int stride, int padding, int dilation) {
    Phase p{{grid, ceil_div(length - phase, stride), 0, 1, 0, 0}, 0, stride / std::gcd(stride, dilation)};
    while (p.first < taps && (phase + padding - p.first * dilation) % stride != 0 && p.first < p.every) ++p.first;
    if (p.first >= std::min(taps, p.every)) return p;  // no tap: the gradient is zero
    p.line.taps = ceil_div(taps - p.first, p.every);
    p.line.from = (phase + padding - p.first * dilation) / stride;
    p.line.tap = -(p.every * dilation / stride);
    return p;
}

// Calls `solve(problem)` for each phase of the gradient of the input: rows are its channels, the image is gy.
template <class T, class F>
void for_phases(const Array& dx, const Array& gy, const Array& w, const Options& o, F&& solve) {
    const Problem<T> f = forward_problem<T>(gy, dx, w, nullptr, o);
    dimension(dx.shape[0] * dx.shape[2] * dx.shape[3]);
    dimension(w.shape[0] / o.groups * w.shape[2] * w.shape[3]);
    for (int py = 0; py < std::min(f.y.step, f.y.image); ++py)
        for (int px = 0; px < std::min(f.x.step, f.x.image); ++px) {
            const Phase v = phase_of(py, f.y.image, f.y.grid, f.y.taps, f.y.step, int(o.top), f.y.tap);
            const Phase h = phase_of(px, f.x.image, f.x.grid, f.x.taps, f.x.step, int(o.left), f.x.tap);
            Problem<T> p{f.N, f.groups, f.channels, f.rows, v.line, h.line, f.output, f.weight, f.image, nullptr};
            std::swap(p.weight.stride[0], p.weight.stride[1]);
            if (v.line.taps && h.line.taps) p.weight.data += v.first * f.weight.stride[2] + h.first * f.weight.stride[3];
            p.weight.stride[2] *= v.every;
            p.weight.stride[3] *= h.every;
            p.output.data = f.image.at(0, 0, py, px);
            p.output.stride[2] *= f.y.step;
            p.output.stride[3] *= f.x.step;
            solve(p);
        }
}

// Calls `f` with the type behind `dtype`, which is one of T.
template <class... T, class F> void by_dtype(DType dtype, F&& f) {
    if (!((dtype == DTYPE<T> ? (f.template operator()<T>(), true) : false) || ...))
        throw std::invalid_argument("the kernel does not compute this dtype");
}

inline unsigned blocks_for(int64_t threads, int block) {
    const int64_t blocks = (threads + block - 1) / block;
    if (blocks > 0x7fffffff) throw std::invalid_argument(std::to_string(threads) + " elements are more than a grid has threads");
    return unsigned(blocks);
}

// Tiles of a result of `groups` matrices (rows, columns) are numbered along its rows, group after group; a block's number is its tile.
struct Tile {
    int group, row, column;
};
template <int ROWS, int COLUMNS> unsigned tiles_of(int groups, int rows, int columns) {
    const int64_t tiles = int64_t(ceil_div(rows, ROWS)) * ceil_div(columns, COLUMNS) * groups;
    if (tiles > 0x7fffffff) throw std::invalid_argument("the result has more tiles than a grid has blocks");
    return unsigned(tiles);
}
template <int ROWS, int COLUMNS> __device__ Tile tile_of_block(int rows, int columns) {
    const int across = ceil_div(columns, COLUMNS), down = ceil_div(rows, ROWS), tile = int(blockIdx.x);
    return {tile / across / down, tile / across % down * ROWS, tile % across * COLUMNS};
}

}  // namespace tg::conv2d
