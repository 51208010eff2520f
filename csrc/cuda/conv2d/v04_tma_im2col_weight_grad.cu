// The idea of v04 for the gradient of the weight: a product along pixels. TMA gathers both operands with the channels fastest, as wgmma
// takes them. Before it (v03): threads gathered. Tiles are cut into parts of pixels, which a second kernel adds up, always in one order.
// Ownership: block b owns items b, b + gridDim.x, ...: a part of 128 output channels x 4 times 64 channels of a tap, as in v04.
// Bottleneck: the parts' way through memory where dw is large, and tiles that channels or taps do not fill.
// Measure: python benchmarks/ladder.py conv2d v04_tma_im2col (emulated time)
#include "hopper_pipeline.h"
#include "parts.h"

namespace tg::conv2d {

namespace {

constexpr int BN = 256;
constexpr size_t SHARED = size_t(STAGES) * (BM + BN) * BK * 2;

struct Columns {  // of dw: 64 channels of a tap, number after number
    int blocks, count;

    template <class T>
    __host__ __device__ explicit Columns(const Problem<T>& p)
        : blocks(ceil_div(p.channels, 64)), count(p.y.taps * p.x.taps * blocks) {}
    __device__ int tap(int number) const { return number / blocks; }
    __device__ int channel(int number) const { return number % blocks * 64; }
};

}  // namespace

// To `space`, as (part, row, tap, channel); or to dw, where there is one part and no room for it.
template <class T>
__global__ void __launch_bounds__(THREADS)
    conv2d_tma_weight_grad(const __grid_constant__ Problem<T> p, const __grid_constant__ CUtensorMap gradient,
                           const __grid_constant__ CUtensorMap image, Raster raster, Parts parts, float* space, T* dw) {
#ifndef TG_NO_HOPPER
    DYNAMIC_SHARED(T, shared);
    __shared__ uint64_t full[STAGES], empty[STAGES];
    const int thread = threadIdx.x % 128, group = threadIdx.x / 128, tiles = raster.tiles(), items = tiles * parts.count;
    const Columns columns(p);
    Pipeline<T, BN> pipeline(shared, full, empty);
    int row, column;
    if (group == 0) {  // the producer
        device::fewer_registers<40>();
        if (thread != 0) return;
        for (int item = blockIdx.x; item < items; item += gridDim.x) {
            raster.place(item % tiles, row, column);
            const int begin = item / tiles * parts.span, end = min(p.pixels(), begin + parts.span);
            for (int q = begin; q < end; q += BK)
                pipeline.produce([&](T* A, T* B, uint64_t* barrier) {
                    const auto at = p.pixel(q);
                    for (int box = 0; box < BM / 64; ++box)
                        device::tma_load_im2col(A + box * BOX, gradient, row * BM + box * 64, at.x, at.y, at.n, 0, 0, barrier);
                    const int w = low(p.x) + at.x * p.x.step, h = low(p.y) + at.y * p.y.step;
                    for (int box = 0; box < BN / 64; ++box) {
                        const int number = min(column * (BN / 64) + box, columns.count - 1);  // past the end: the last once more
                        const int tap = columns.tap(number);
                        device::tma_load_im2col(B + box * BOX, image, columns.channel(number), w, h, at.n, offset(p.x, tap % p.x.taps),
                                                offset(p.y, tap / p.x.taps), barrier);
                    }
                });
        }
        return;
    }
    device::more_registers<232>();  // consumers
    const int warpgroup = group - 1, taps = p.y.taps * p.x.taps;
    for (int item = blockIdx.x; item < items; item += gridDim.x) {
        raster.place(item % tiles, row, column);
        const int part = item / tiles, begin = part * parts.span, end = min(p.pixels(), begin + parts.span);
        float sum[BN / 2] = {};
        pipeline.template consume<1, 1>(sum, ceil_div(max(end - begin, 0), BK), warpgroup, thread % 32);
        const int first = row * BM + warpgroup * 64 + thread / 32 * 16 + thread % 32 / 4;
#pragma unroll
        for (int j = 0; j < BN / 4; ++j) {
            const int r = first + j % 2 * 8, number = column * (BN / 64) + j / 16, tap = columns.tap(number);
            const int c = columns.channel(number) + j / 2 % 8 * 8 + thread % 4 * 2;
            if (r >= p.rows || number >= columns.count || c >= p.channels) continue;
            const float2 both = make_float2(sum[j * 2], sum[j * 2 + 1]);  // channels come in eights
            if (space) *reinterpret_cast<float2*>(&space[((int64_t(part) * p.rows + r) * taps + tap) * p.channels + c]) = both;
            else {
                dw[(int64_t(r) * p.channels + c) * taps + tap] = T(both.x);
                dw[(int64_t(r) * p.channels + c + 1) * taps + tap] = T(both.y);
            }
        }
    }
#endif
}

// Thread t owns element t of (row, tap, channel) and adds up what the parts have for it, in their order.
template <class T> __global__ void sum_channels_last(T* dw, const float* parts, int count, int64_t size, int taps, int channels) {
    const int64_t thread = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= size) return;
    float sum = 0;
    for (int part = 0; part < count; ++part) sum += parts[part * size + thread];
    const int64_t tap = thread / channels % taps, row = thread / channels / taps;
    dw[(row * channels + thread % channels) * taps + tap] = T(sum);
}

template <class T> void weight_grad(Array& dw, const Array& gy, const Array& x, Array& space, const Options& o) {
    check_contiguous(dw);
    const auto p = forward_problem<T>(gy, x, dw, nullptr, o);
    check_one_group(p.groups);
    const int64_t size = dw.size();
    if (!size) return;
    CUtensorMap gradient{}, image{};
    if (p.pixels()) {
        gradient = map_of_images(p.output, p.N, p.rows, as_it_is(p.y.grid), as_it_is(p.x.grid), BK);
        image = map_of_images(p.image, p.N, p.channels, p.y, p.x, BK);
    }
    const Raster raster = matmul::hopper::raster_of(ceil_div(p.rows, BM), ceil_div(Columns(p).count, BN / 64));
    const Parts parts(p.pixels(), raster.tiles(), size, space.size(), BK);
    float* const room = space.size() >= size && reinterpret_cast<uintptr_t>(space.data) % 8 == 0 ? space.ptr<float>() : nullptr;
    const int items = raster.tiles() * parts.count;
    launch(conv2d_tma_weight_grad<T>, std::min(items, multiprocessors()), THREADS, SHARED, current_stream, p, gradient, image, raster,
           parts, room, dw.ptr<T>());
    if (room)
        launch(sum_channels_last<T>, blocks_for(size, THREADS), THREADS, 0, current_stream, dw.ptr<T>(), static_cast<const float*>(room),
               parts.count, size, p.y.taps * p.x.taps, p.channels);
}

void tma_weight_grad(Array& dw, const Array& gy, const Array& x, Array& space, int64_t sh, int64_t sw, int64_t top, int64_t left,
                     int64_t dh, int64_t dilation, int64_t groups) {
    by_dtype<__nv_bfloat16, __half>(dw.dtype, [&]<class T>() {
        weight_grad<T>(dw, gy, x, space, {sh, sw, top, left, dh, dilation, groups});
    });
}

TG_KERNEL(conv2d_weight_grad, "cuda/v04_tma_im2col", "bfloat16 float16", tma_weight_grad, Chips{90, 99})

}  // namespace tg::conv2d
