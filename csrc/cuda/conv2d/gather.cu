// The idea: transposed, each result gathers the pixels that reach it: nothing is added into memory, no column is stored.
// Before it (the ladder): one launch for each of the s x s phases of a stride; here one for all, a thread looks up the taps of its phase.
// Ownership: a thread owns 16 channels of 4 pixels of a column, a stride apart: they meet the same taps, on neighbouring rows of gy.
// Bottleneck: the fp32 units; for each 64 products 4 pixels come through the L1 cache and 16 weights from shared memory.
// Measure: tensorgrad lab conv_transpose2d --kernel gather --shape 2x16x8x8 --shape 16x16x4x4 --option stride=2 --option padding=1
#include "problem.h"

namespace tg::conv2d {

namespace {

constexpr int THREADS = 256, PIXELS = 4, CHANNELS = 16, ROOM = 32 << 10;  // bytes of weights a block keeps, about

// Along one dimension: positions a stride apart meet every `every`-th tap, and from one of them to the next gy is `back` before.
struct Taps {
    int every, back;

    explicit Taps(const Line& line) : every(line.step / std::gcd(line.step, line.tap)), back(every * line.tap / line.step) {}

    struct First {
        int tap, at;  // the first tap, or one that there is not; where it meets gy
    };
    __device__ First first(const Line& line, int position) const {
        const int from = position - line.from;
        int tap = 0;
        while (tap < every && tap < line.taps && (from - tap * line.tap) % line.step != 0) ++tap;
        return tap < every ? First{tap, (from - tap * line.tap) / line.step} : First{line.taps, 0};
    }
};

}  // namespace

// `f` is the forward problem: its image is dx, its output gy. `down` counts the columns of four pixels, `room` rows of taps kept at once.
template <class T>
__global__ void __launch_bounds__(THREADS, 1)
    conv2d_gather(const __grid_constant__ Problem<T> f, Taps ty, Taps tx, int down, int room, int blocks) {
    DYNAMIC_SHARED(Sum<T>, weights);  // (rows of taps, taps, CHANNELS)
    const int number = int(blockIdx.x) / blocks, across = ceil_div(f.channels, CHANNELS), c0 = number % across * CHANNELS;
    const Problem<T> p = f.of_group(number / across);
    const int64_t thread = int64_t(int(blockIdx.x) % blocks) * THREADS + threadIdx.x;
    const int x = int(thread % p.x.image), column = int(thread / p.x.image % down), n = int(thread / p.x.image / down);
    const int y = column / p.y.step * PIXELS * p.y.step + column % p.y.step;
    const bool real = n < p.N && y < p.y.image;
    const auto rows = ty.first(p.y, y), columns = tx.first(p.x, x);
    Sum<T> sum[PIXELS][CHANNELS] = {};
    for (int q0 = 0; q0 < p.rows * p.y.taps; q0 += room) {
        const int count = min(room, p.rows * p.y.taps - q0);
        __syncthreads();  // the weights before have been read
        for (int e = threadIdx.x; e < count * p.x.taps * CHANNELS; e += THREADS) {
            const int c = c0 + e % CHANNELS, j = e / CHANNELS % p.x.taps, q = q0 + e / CHANNELS / p.x.taps;
            weights[e] = c < p.channels ? Sum<T>(*p.weight.at(q / p.y.taps, c, q % p.y.taps, j)) : Sum<T>(0);
        }
        __syncthreads();
        for (int q = 0; real && q < count; ++q) {
            const int past = (q0 + q) % p.y.taps - rows.tap, row = rows.at - past / ty.every * ty.back;
            if (past < 0 || past % ty.every) continue;
            const T* const from = p.output.at(n, (q0 + q) / p.y.taps, row, 0);
            for (int j = columns.tap, at = columns.at; j < p.x.taps; j += tx.every, at -= tx.back) {
                if (at < 0 || at >= p.x.grid) continue;
                Sum<T> g[PIXELS];
#pragma unroll
                for (int e = 0; e < PIXELS; ++e) {
                    const bool inside = unsigned(row + e) < unsigned(p.y.grid);
                    g[e] = inside ? Sum<T>(from[e * p.output.stride[2] + at * p.output.stride[3]]) : Sum<T>(0);
                }
                const Sum<T>* const weight = weights + (q * p.x.taps + j) * CHANNELS;
#pragma unroll
                for (int c = 0; c < CHANNELS; ++c)
#pragma unroll
                    for (int e = 0; e < PIXELS; ++e) sum[e][c] += g[e] * weight[c];
            }
        }
    }
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c)
#pragma unroll
        for (int e = 0; e < PIXELS; ++e)
            if (real && y + e * p.y.step < p.y.image && c0 + c < p.channels) *p.image.at(n, c0 + c, y + e * p.y.step, x) = T(sum[e][c]);
}

void gather(Array& dx, const Array& gy, const Array& w, Array&, int64_t sh, int64_t sw, int64_t top, int64_t left, int64_t dh, int64_t dw,
            int64_t groups) {
    by_dtype<float, double, __nv_bfloat16, __half>(dx.dtype, [&]<class T>() {
        const auto f = forward_problem<T>(gy, dx, w, nullptr, {sh, sw, top, left, dh, dw, groups});
        if (dx.size() == 0) return;
        const int down = dimension(int64_t(ceil_div(f.y.image, f.y.step * PIXELS)) * f.y.step);
        const int blocks = dimension((int64_t(f.N) * down * f.x.image + THREADS - 1) / THREADS);
        const int64_t row = int64_t(f.x.taps) * CHANNELS * sizeof(Sum<T>), all = int64_t(f.rows) * f.y.taps;
        const int room = int(std::clamp<int64_t>(ROOM / std::max<int64_t>(row, 1), 1, std::max<int64_t>(all, 1)));
        const int64_t grid = int64_t(blocks) * ceil_div(f.channels, CHANNELS) * f.groups;
        launch(conv2d_gather<T>, blocks_for(grid, 1), THREADS, size_t(room * row), current_stream, f, Taps(f.y), Taps(f.x), down, room,
               blocks);
    });
}

TG_KERNEL(conv2d_input_grad, "cuda/gather", "float32 float64 bfloat16 float16", gather)

}  // namespace tg::conv2d
