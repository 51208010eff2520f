// The idea: with one channel a group there is no matrix to multiply by. What counts is to fetch each pixel once, into shared memory.
// Before it (the ladder): v00 fetches a pixel for each of its taps; the tiles of implicit GEMM are padding but for one row of 64.
// Ownership: a block owns a tile of one channel (of 32 bytes of channels where these lie last), a thread 4 results of a column at a time.
// Bottleneck: memory bandwidth; a stride s reads gy once for each of the s x s phases of the input's gradient.
// Measure: tensorgrad lab conv2d --kernel depthwise --shape 1x4x56x56 --shape 4x1x3x3 --option groups=4 --option padding=1
#include "depthwise_tile.h"

#include "../../device/reduce.cuh"

namespace tg::conv2d {

constexpr int EACH = 4, TAPS = 9;  // results of a thread at a time; taps whose gradient it adds up at a time

template <class T>
__global__ void __launch_bounds__(Tiling::THREADS, 1)
    conv2d_depthwise(const __grid_constant__ Problem<T> p, const __grid_constant__ Tiling t) {
    DYNAMIC_SHARED(T, tile);
    T* const weights = tile + t.packed * p.channels * t.tile();
    const int x0 = int(blockIdx.x) % t.across * t.x.results, y0 = int(blockIdx.x) / t.across % t.down * t.y.results;
    const int first = int(blockIdx.x) / t.tiles() * t.packed, products = p.depth(), lane = threadIdx.x;
    const auto place = [&](int unit, int& n, int& group) {  // units: image by image, the chunks of channels
        n = unit / t.chunks;
        group = unit % t.chunks * t.wide + lane;
        return n < p.N && group < p.groups;
    };
    stage(tile, p, t, first, y0, x0, place);
    for (int e = threadIdx.z * blockDim.y + threadIdx.y; e < t.packed * p.rows * products; e += blockDim.y * blockDim.z) {
        int n, group;
        const auto tap = p.tap(e % products);
        const bool there = place(first + e / products / p.rows, n, group);
        weights[e * t.wide + lane] = there ? p.weight.at(e / products % p.rows, tap.c, tap.i, tap.j)[group * p.weight.group] : T(0.0f);
    }
    __syncthreads();

    const int strips = ceil_div(t.y.results, EACH), below = t.y.step * t.x.count * t.wide;
    for (int s = threadIdx.z; s < t.packed * strips; s += blockDim.z) {
        const int local = s / strips, down = s % strips * EACH;
        int n, group;
        if (!place(first + local, n, group)) continue;
        for (int x = threadIdx.y; x < t.x.results && x0 + x < p.x.grid; x += blockDim.y)
            for (int row = 0; row < p.rows; ++row) {
                const T* weight = weights + (local * p.rows + row) * products * t.wide + lane;
                Sum<T> sum[EACH] = {};
                for (int c = 0; c < p.channels; ++c)
                    for (int i = 0; i < p.y.taps; ++i) {
                        const int line = (local * p.channels + c) * t.y.count + t.y.first + down * t.y.step + i * t.y.tap;
                        for (int j = 0; j < p.x.taps; ++j, weight += t.wide) {
                            const T* from = tile + (line * t.x.count + t.x.first + x * t.x.step + j * t.x.tap) * t.wide + lane;
#pragma unroll
                            for (int e = 0; e < EACH; ++e) sum[e] += Sum<T>(*weight) * Sum<T>(from[e * below]);
                        }
                    }
                const Sum<T> bias = p.bias ? Sum<T>(p.bias[int64_t(group) * p.rows + row]) : Sum<T>(0);
#pragma unroll
                for (int e = 0; e < EACH; ++e)
                    if (down + e < t.y.results && y0 + down + e < p.y.grid)
                        p.output.at(n, row, y0 + down + e, x0 + x)[group * p.output.group] = T(sum[e] + bias);
            }
    }
}

// Part blockIdx.y of dw for the channels blockIdx.x: items of it are tiles of `packed` images. A thread adds up nine taps in registers.
template <class T>
__global__ void __launch_bounds__(Tiling::THREADS, 1)
    conv2d_depthwise_weight_grad(const __grid_constant__ Problem<T> p, const __grid_constant__ Tiling t, Parts parts, int items, T* dw,
                                 Sum<T>* space, int64_t size) {
    DYNAMIC_SHARED(Sum<T>, totals);  // (rows, taps, wide)
    __shared__ Sum<T> of_warp[Tiling::THREADS / 32][TAPS][32 / sizeof(T)];
    const int lane = threadIdx.x, taps = p.depth(), group = int(blockIdx.x) * t.wide + lane;
    const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * t.wide + lane;
    T* const tile = reinterpret_cast<T*>(totals + p.rows * taps * t.wide);
    for (int e = thread; e < p.rows * taps * t.wide; e += Tiling::THREADS) totals[e] = 0;
    const int begin = int(blockIdx.y) * parts.span, end = min(items, begin + parts.span);
    const bool once = p.rows == 1 && taps <= TAPS;  // then sums stay in registers from item to item
    Sum<T> sum[TAPS] = {};
    for (int item = begin; item < end; ++item) {
        const int first = item / t.tiles() * t.packed, y0 = item / t.across % t.down * t.y.results, x0 = item % t.across * t.x.results;
        __syncthreads();  // the tile before has been read
        stage(tile, p, t, first, y0, x0, [&](int unit, int& n, int& of) {
            n = unit;
            of = group;
            return n < p.N && group < p.groups;
        });
        __syncthreads();
        for (int row = 0; row < p.rows; ++row)
            for (int k0 = 0; k0 < taps; k0 += TAPS) {
                int offset[TAPS];
#pragma unroll
                for (int k = 0; k < TAPS; ++k) {
                    const auto tap = p.tap(min(k0 + k, taps - 1));
                    offset[k] = ((t.y.first + tap.i * t.y.tap) * t.x.count + t.x.first + tap.j * t.x.tap) * t.wide;
                }
                for (int s = threadIdx.z; s < t.packed * t.y.results; s += blockDim.z) {
                    const int n = first + s / t.y.results, y = s % t.y.results;
                    if (n >= p.N || y0 + y >= p.y.grid || group >= p.groups) continue;
                    for (int x = threadIdx.y; x < t.x.results && x0 + x < p.x.grid; x += blockDim.y) {
                        const Sum<T> g = Sum<T>(p.output.at(n, row, y0 + y, x0 + x)[group * p.output.group]);
                        const T* from = tile + ((s / t.y.results * t.y.count + y * t.y.step) * t.x.count + x * t.x.step) * t.wide + lane;
#pragma unroll
                        for (int k = 0; k < TAPS; ++k) sum[k] += g * Sum<T>(from[offset[k]]);
                    }
                }
                if (once && item + 1 < end) continue;
#pragma unroll
                for (int k = 0; k < TAPS; ++k) {  // over the lanes of a warp that have this channel, then over the warps
                    for (int other = 16; other >= t.wide; other /= 2) sum[k] += device::from_lane_across(sum[k], other);
                    if (thread % 32 < t.wide) of_warp[thread / 32][k][lane] = sum[k];
                    sum[k] = 0;
                }
                __syncthreads();
                for (int e = thread; e < min(TAPS, taps - k0) * t.wide; e += Tiling::THREADS)
                    for (int warp = 0; warp < Tiling::THREADS / 32; ++warp)
                        totals[(row * taps + k0) * t.wide + e] += of_warp[warp][e / t.wide][e % t.wide];
                __syncthreads();
            }
    }
    __syncthreads();
    for (int e = thread / t.wide; group < p.groups && e < p.rows * taps; e += Tiling::THREADS / t.wide) {
        const int64_t at = int64_t(group) * p.rows * taps + e;
        if (gridDim.y == 1) dw[at] = T(totals[e * t.wide + lane]);
        else space[blockIdx.y * size + at] = totals[e * t.wide + lane];
    }
}

template <class T> void depthwise(const Problem<T>& p) {
    if (p.rows > 1 && p.channels > 1) throw std::invalid_argument("needs groups of one channel");
    if (int64_t(p.pixels()) * p.rows * p.groups == 0) return;
    dimension(int64_t(p.N) * p.groups);
    const Tiling t = tiling(p, EACH, p.rows * p.depth(), p.N * p.groups);
    const int64_t blocks = int64_t(ceil_div(p.N * t.chunks, t.packed)) * t.tiles();
    const size_t bytes = size_t(t.packed) * (p.channels * t.tile() + p.rows * p.depth() * t.wide) * sizeof(T);
    launch(conv2d_depthwise<T>, blocks_for(blocks, 1), t.block(), bytes, current_stream, p, t);
}

void depthwise_forward(Array& y, const Array& x, const Array& w, const Array& bias, Array&, int64_t sh, int64_t sw, int64_t top,
                       int64_t left, int64_t dh, int64_t dw, int64_t groups) {
    by_dtype<float, double, __nv_bfloat16, __half>(y.dtype, [&]<class T>() {
        depthwise(forward_problem<T>(y, x, w, &bias, {sh, sw, top, left, dh, dw, groups}));
    });
}

void depthwise_input_grad(Array& dx, const Array& gy, const Array& w, Array&, int64_t sh, int64_t sw, int64_t top, int64_t left,
                          int64_t dh, int64_t dw, int64_t groups) {
    by_dtype<float, double, __nv_bfloat16, __half>(dx.dtype, [&]<class T>() {
        for_phases<T>(dx, gy, w, {sh, sw, top, left, dh, dw, groups}, depthwise<T>);
    });
}

void depthwise_weight_grad(Array& dw, const Array& gy, const Array& x, Array& space, int64_t sh, int64_t sw, int64_t top, int64_t left,
                           int64_t dh, int64_t dilation, int64_t groups) {
    check_contiguous(dw);
    by_dtype<float, double, __nv_bfloat16, __half>(dw.dtype, [&]<class T>() {
        const auto p = forward_problem<T>(gy, x, dw, nullptr, {sh, sw, top, left, dh, dilation, groups});
        if (p.channels != 1) throw std::invalid_argument("needs groups of one channel");
        const int64_t size = dw.size();
        if (!size) return;
        const int kept = ceil_div(p.rows * p.depth() * int(sizeof(Sum<T>)), int(sizeof(T)));
        const Tiling t = tiling(p, 1, kept, p.N);
        const int items = dimension(int64_t(ceil_div(p.N, t.packed)) * t.tiles());
        const Parts parts(items, t.chunks, size, space.size(), 1, 1);
        const size_t bytes = size_t(t.packed) * t.tile() * sizeof(T) + size_t(p.rows) * p.depth() * t.wide * sizeof(Sum<T>);
        const dim3 grid(unsigned(t.chunks), unsigned(parts.count));
        launch(conv2d_depthwise_weight_grad<T>, grid, t.block(), bytes, current_stream, p, t, parts, items, dw.ptr<T>(),
               space.ptr<Sum<T>>(), size);
        if (parts.count > 1)
            launch(sum_parts<T>, blocks_for(size, Tiling::THREADS), Tiling::THREADS, 0, current_stream, dw.ptr<T>(),
                   static_cast<const Sum<T>*>(space.ptr<Sum<T>>()), parts.count, size);
    });
}

TG_KERNEL(conv2d, "cuda/depthwise", "float32 float64 bfloat16 float16", depthwise_forward)
TG_KERNEL(conv2d_input_grad, "cuda/depthwise", "float32 float64 bfloat16 float16", depthwise_input_grad)
TG_KERNEL(conv2d_weight_grad, "cuda/depthwise", "float32 float64 bfloat16 float16", depthwise_weight_grad)

}  // namespace tg::conv2d
