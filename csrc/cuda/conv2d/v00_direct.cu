// The idea: one thread per result adds up its products: an output pixel, a pixel of dx, an element of dw.
// Before it: nothing; this is the definition, and the rung the others are measured against.
// Ownership: thread t owns element t of the result, counted with x fastest, so that the lanes of a warp go along a row.
// Bottleneck: loads. Every product fetches both factors, and each pixel is fetched again by every output and tap that meets it.
// Measure: python benchmarks/ladder.py conv2d v00_direct (emulated time)
#include "problem.h"

namespace tg::conv2d {

namespace {

constexpr int THREADS = 256;

}  // namespace

template <class T> __global__ void conv2d_direct(const __grid_constant__ Problem<T> problem, int64_t count) {
    const int64_t thread = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (thread >= count) return;
    const int x = int(thread % problem.x.grid), y = int(thread / problem.x.grid % problem.y.grid);
    const int64_t plane = thread / problem.x.grid / problem.y.grid;
    const int row = int(plane % problem.rows), group = int(plane / problem.rows % problem.groups);
    const int n = int(plane / problem.rows / problem.groups);
    const Problem<T> p = problem.of_group(group);
    Sum<T> sum = 0;
    for (int c = 0; c < p.channels; ++c)
        for (int i = 0; i < p.y.taps; ++i) {
            const int at_y = p.y.at(y, i);
            if (!p.y.inside(at_y)) continue;
            for (int j = 0; j < p.x.taps; ++j) {
                const int at_x = p.x.at(x, j);
                if (p.x.inside(at_x)) sum += Sum<T>(*p.weight.at(row, c, i, j)) * Sum<T>(*p.image.at(n, c, at_y, at_x));
            }
        }
    if (p.bias) sum += Sum<T>(p.bias[row]);
    *p.output.at(n, row, y, x) = T(sum);
}

template <class T> __global__ void conv2d_direct_weight_grad(const __grid_constant__ Problem<T> problem, int64_t count) {
    const int64_t thread = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (thread >= count) return;
    const int j = int(thread % problem.x.taps), i = int(thread / problem.x.taps % problem.y.taps);
    const int64_t pair = thread / problem.x.taps / problem.y.taps;
    const int c = int(pair % problem.channels), row = int(pair / problem.channels % problem.rows);
    const Problem<T> p = problem.of_group(int(pair / problem.channels / problem.rows));
    Sum<T> sum = 0;
    for (int n = 0; n < p.N; ++n) {
        Sum<T> of_image = 0;  // sums of sums keep the digits that one long sum would lose
        for (int y = 0; y < p.y.grid; ++y) {
            const int at_y = p.y.at(y, i);
            if (!p.y.inside(at_y)) continue;
            Sum<T> of_row = 0;
            for (int x = 0; x < p.x.grid; ++x) {
                const int at_x = p.x.at(x, j);
                if (p.x.inside(at_x)) of_row += Sum<T>(*p.output.at(n, row, y, x)) * Sum<T>(*p.image.at(n, c, at_y, at_x));
            }
            of_image += of_row;
        }
        sum += of_image;
    }
    *p.weight.at(row, c, i, j) = T(sum);
}

template <class T> void direct(const Problem<T>& p) {
    const int64_t count = int64_t(p.pixels()) * p.rows * p.groups;
    if (count) launch(conv2d_direct<T>, blocks_for(count, THREADS), THREADS, 0, current_stream, p, count);
}

void direct_forward(Array& y, const Array& x, const Array& w, const Array& bias, Array&, int64_t sh, int64_t sw, int64_t top, int64_t left,
                    int64_t dh, int64_t dw, int64_t groups) {
    by_dtype<float, double, __nv_bfloat16, __half>(y.dtype, [&]<class T>() {
        direct(forward_problem<T>(y, x, w, &bias, {sh, sw, top, left, dh, dw, groups}));
    });
}

void direct_input_grad(Array& dx, const Array& gy, const Array& w, Array&, int64_t sh, int64_t sw, int64_t top, int64_t left, int64_t dh,
                       int64_t dw, int64_t groups) {
    by_dtype<float, double, __nv_bfloat16, __half>(dx.dtype, [&]<class T>() {
        for_phases<T>(dx, gy, w, {sh, sw, top, left, dh, dw, groups}, [](const Problem<T>& p) { direct(p); });
    });
}

void direct_weight_grad(Array& dw, const Array& gy, const Array& x, Array&, int64_t sh, int64_t sw, int64_t top, int64_t left, int64_t dh,
                        int64_t dilation, int64_t groups) {
    by_dtype<float, double, __nv_bfloat16, __half>(dw.dtype, [&]<class T>() {
        const auto p = forward_problem<T>(gy, x, dw, nullptr, {sh, sw, top, left, dh, dilation, groups});
        const int64_t count = dw.size();
        if (count) launch(conv2d_direct_weight_grad<T>, blocks_for(count, THREADS), THREADS, 0, current_stream, p, count);
    });
}

TG_KERNEL(conv2d, "cuda/v00_direct", "float32 float64 bfloat16 float16", direct_forward)
TG_KERNEL(conv2d_input_grad, "cuda/v00_direct", "float32 float64 bfloat16 float16", direct_input_grad)
TG_KERNEL(conv2d_weight_grad, "cuda/v00_direct", "float32 float64 bfloat16 float16", direct_weight_grad)

}  // namespace tg::conv2d
