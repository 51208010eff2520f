// The idea: the matrix product of v01 without the matrix: threads that fill a tile of columns gather it from the image themselves.
// Before it (v01): the columns went through memory; now they exist only as tiles in shared memory. One launch for all groups.
// Ownership: a block owns 64 rows (channels) x 64 pixels; thread (y, x) of 16 x 16 owns rows 4 y to + 3 of pixels x, x + 16, + 32, + 48.
// Bottleneck: the fp32 units and shared memory, and the arithmetic of where a column's elements lie.
// Measure: python benchmarks/ladder.py conv2d v02_implicit (emulated time)
#include "parts.h"

namespace tg::conv2d {

namespace {

constexpr int SIDE = 64, BK = 16, THREADS = 256, EACH = 4, PAD = 4;

struct Accumulator {
    float sum[EACH][EACH] = {};

    __device__ void add(const float (&rows)[BK][SIDE + PAD], const float (&columns)[BK][SIDE + PAD], int y, int x) {
#pragma unroll
        for (int k = 0; k < BK; ++k) {
            float a[EACH], b[EACH];
            *reinterpret_cast<float4*>(a) = *reinterpret_cast<const float4*>(&rows[k][y * EACH]);
#pragma unroll
            for (int j = 0; j < EACH; ++j) b[j] = columns[k][x + 16 * j];
#pragma unroll
            for (int i = 0; i < EACH; ++i)
#pragma unroll
                for (int j = 0; j < EACH; ++j) sum[i][j] += a[i] * b[j];
        }
    }
};

}  // namespace

__global__ void __launch_bounds__(THREADS) conv2d_implicit(const __grid_constant__ Problem<float> problem) {
    __shared__ __align__(16) float weights[BK][SIDE + PAD];
    __shared__ float columns[BK][SIDE + PAD];
    const int thread = threadIdx.x, pixels = problem.pixels(), depth = problem.depth();
    const Tile tile = tile_of_block<SIDE, SIDE>(problem.rows, pixels);
    const Problem<float> p = problem.of_group(tile.group);
    const bool real = tile.column + thread % SIDE < pixels;  // the pixel this thread gathers for, all along
    const auto pixel = p.pixel(real ? tile.column + thread % SIDE : 0);
    const int top = p.y.at(pixel.y, 0), left = p.x.at(pixel.x, 0);
    const float* const image = p.image.at(pixel.n, 0, 0, 0);
    Accumulator result;
    for (int k0 = 0; k0 < depth; k0 += BK) {
#pragma unroll
        for (int k = thread / SIDE; k < BK; k += THREADS / SIDE) {
            const auto tap = p.tap(k0 + k);
            const int y = top + tap.i * p.y.tap, x = left + tap.j * p.x.tap;
            const bool inside = real && k0 + k < depth && p.y.inside(y) && p.x.inside(x);
            columns[k][thread % SIDE] = inside ? image[tap.c * p.image.stride[1] + y * p.image.stride[2] + x * p.image.stride[3]] : 0.0f;
        }
        const int k = thread % BK;
        const auto tap = p.tap(k0 + k);
#pragma unroll
        for (int row = thread / BK; row < SIDE; row += THREADS / BK) {
            const bool inside = tile.row + row < p.rows && k0 + k < depth;
            weights[k][row] = inside ? *p.weight.at(tile.row + row, tap.c, tap.i, tap.j) : 0.0f;
        }
        __syncthreads();
        result.add(weights, columns, thread / 16, thread % 16);
        __syncthreads();
    }
#pragma unroll
    for (int j = 0; j < EACH; ++j) {
        const int q = tile.column + thread % 16 + 16 * j;
        if (q >= pixels) continue;
        const auto to = p.pixel(q);
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            const int row = tile.row + thread / 16 * EACH + i;
            if (row < p.rows) *p.output.at(to.n, row, to.y, to.x) = result.sum[i][j] + (p.bias ? p.bias[row] : 0.0f);
        }
    }
}

// A part of dw as rows of gy times columns of the image, summed over pixels. Block (t, s) computes tile t of part s.
__global__ void __launch_bounds__(THREADS)
    conv2d_implicit_weight_grad(const __grid_constant__ Problem<float> problem, Parts parts, float* to, int64_t size) {
    __shared__ __align__(16) float gradients[BK][SIDE + PAD];
    __shared__ float columns[BK][SIDE + PAD];
    const int thread = threadIdx.x, depth = problem.depth();
    const Tile tile = tile_of_block<SIDE, SIDE>(problem.rows, depth);
    const Problem<float> p = problem.of_group(tile.group);
    const int begin = int(blockIdx.y) * parts.span, end = min(problem.pixels(), begin + parts.span);
    Accumulator result;
    for (int q0 = begin; q0 < end; q0 += BK) {
        const int q = thread % BK;
        const bool real = q0 + q < end;
        const auto pixel = p.pixel(real ? q0 + q : 0);
#pragma unroll
        for (int i = thread / BK; i < SIDE; i += THREADS / BK) {
            gradients[q][i] = real && tile.row + i < p.rows ? *p.output.at(pixel.n, tile.row + i, pixel.y, pixel.x) : 0.0f;
            const auto tap = p.tap(tile.column + i);
            const int y = p.y.at(pixel.y, tap.i), x = p.x.at(pixel.x, tap.j);
            const bool inside = real && tile.column + i < depth && p.y.inside(y) && p.x.inside(x);
            columns[q][i] = inside ? *p.image.at(pixel.n, tap.c, y, x) : 0.0f;
        }
        __syncthreads();
        result.add(gradients, columns, thread / 16, thread % 16);
        __syncthreads();
    }
    to += blockIdx.y * size;
#pragma unroll
    for (int i = 0; i < EACH; ++i)
#pragma unroll
        for (int j = 0; j < EACH; ++j) {
            const int row = tile.row + thread / 16 * EACH + i, k = tile.column + thread % 16 + 16 * j;
            if (row < p.rows && k < depth) to[(int64_t(tile.group) * p.rows + row) * depth + k] = result.sum[i][j];
        }
}

void implicit(const Problem<float>& p) {
    const unsigned tiles = tiles_of<SIDE, SIDE>(p.groups, p.rows, p.pixels());
    if (tiles) launch(conv2d_implicit, tiles, THREADS, 0, current_stream, p);
}

void implicit_forward(Array& y, const Array& x, const Array& w, const Array& bias, Array&, int64_t sh, int64_t sw, int64_t top,
                      int64_t left, int64_t dh, int64_t dw, int64_t groups) {
    implicit(forward_problem<float>(y, x, w, &bias, {sh, sw, top, left, dh, dw, groups}));
}

void implicit_input_grad(Array& dx, const Array& gy, const Array& w, Array&, int64_t sh, int64_t sw, int64_t top, int64_t left, int64_t dh,
                         int64_t dw, int64_t groups) {
    for_phases<float>(dx, gy, w, {sh, sw, top, left, dh, dw, groups}, implicit);
}

void implicit_weight_grad(Array& dw, const Array& gy, const Array& x, Array& space, int64_t sh, int64_t sw, int64_t top, int64_t left,
                          int64_t dh, int64_t dilation, int64_t groups) {
    check_contiguous(dw);
    const auto p = forward_problem<float>(gy, x, dw, nullptr, {sh, sw, top, left, dh, dilation, groups});
    const unsigned tiles = tiles_of<SIDE, SIDE>(p.groups, p.rows, p.depth());
    if (!tiles) return;
    const int64_t size = dw.size();
    const Parts parts(p.pixels(), tiles, size, space.size(), BK);
    float* const to = parts.count == 1 ? dw.ptr<float>() : space.ptr<float>();
    launch(conv2d_implicit_weight_grad, dim3(tiles, unsigned(parts.count)), THREADS, 0, current_stream, p, parts, to, size);
    if (parts.count > 1)
        launch(sum_parts<float>, blocks_for(size, THREADS), THREADS, 0, current_stream, dw.ptr<float>(), static_cast<const float*>(to),
               parts.count, size);
}

TG_KERNEL(conv2d, "cuda/v02_implicit", "float32", implicit_forward)
TG_KERNEL(conv2d_input_grad, "cuda/v02_implicit", "float32", implicit_input_grad)
TG_KERNEL(conv2d_weight_grad, "cuda/v02_implicit", "float32", implicit_weight_grad)

}  // namespace tg::conv2d
