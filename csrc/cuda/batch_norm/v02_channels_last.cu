// The idea: with the channels last a row of memory holds all of them: a lane has 16 bytes of channels and goes down the rows.
// Before it (v01): one block a channel, and a copy to bring its elements together. Here chunks of rows are summed side by side.
// Ownership: lane x of line y of block (i, j) has channels (32 j + x) W ... + W of rows y, y + 8, ... of chunk i.
// Bottleneck: memory bandwidth: x twice and y once. Inference: once each.
// Measure: tensorgrad lab batch_norm cuda/v02_channels_last
#include "channels_last.h"

namespace tg::batch_norm {

// A line of `partial` for each chunk: its mean, relative to the first element of the group, and the squares around it.
template <class T, int W>
__global__ void __launch_bounds__(LINES * 32) batch_norm_moments(const __grid_constant__ Forward<T> p, const __grid_constant__ Chunks s, Wide<T>* partial) {
    using A = Wide<T>;
    const int c = s.channel(W);
    const bool there = c < s.C;
    A shift[W] = {};
    if (there) first_of_group(shift, p.x + s.sample() * s.rows * s.C, c, s.per);
    device::Moments<A> found[W];
#pragma unroll
    for (auto& m : found) m = device::Moments<A>::nothing();
    const int64_t last = there ? s.last() : 0;
    int64_t row = s.first();
    for (; row + (STEP - 1) * LINES < last; row += STEP * LINES) {
        A x[STEP][W];
#pragma unroll
        for (int i = 0; i < STEP; ++i) device::read<W>(x[i], p.x + (row + i * LINES) * s.C + c);
#pragma unroll
        for (int k = 0; k < W; ++k) {
            A column[STEP];
#pragma unroll
            for (int i = 0; i < STEP; ++i) column[i] = x[i][k] - shift[k];
            found[k].add(column);
        }
    }
    for (; row < last; row += LINES) {
        A x[W];
        device::read<W>(x, p.x + row * s.C + c);
#pragma unroll
        for (int k = 0; k < W; ++k) {
            const A one[1] = {x[k] - shift[k]};
            found[k].add(one);
        }
    }
    merge_lines<W>(found, device::MergeMoments{});
    if (threadIdx.y != 0 || !there) return;
    A* const line = partial + int64_t(blockIdx.x) * 2 * s.C;
#pragma unroll
    for (int k = 0; k < W; ++k) {
        line[c + k] = found[k].mean;
        line[s.C + c + k] = found[k].squares;
    }
}

template <class T>
__global__ void __launch_bounds__(THREADS) batch_norm_merge(const __grid_constant__ Forward<T> p, const __grid_constant__ Chunks s, const Wide<T>* partial) {
    using A = Wide<T>;
    const int c = blockIdx.x * THREADS + threadIdx.x;
    if (c >= s.C) return;
    auto all = device::Moments<A>::nothing();
    for (int j = 0; j < s.chunks; ++j) all = all.merged({A(s.size(j)), partial[int64_t(2 * j) * s.C + c], partial[int64_t(2 * j + 1) * s.C + c]});
    p.keep(c, double(static_cast<A>(p.x[c])) + double(all.mean), double(all.variance()));
}

template <class T>
__global__ void __launch_bounds__(THREADS) group_norm_merge(const __grid_constant__ Forward<T> p, const __grid_constant__ Chunks s, const Wide<T>* partial) {
    using A = Wide<T>;
    const int64_t group = (int64_t(blockIdx.x) * THREADS + threadIdx.x) / 32, of_sample = s.C / s.per;
    if (group >= p.shape.groups) return;
    const auto of = [&](int chunk, int64_t line, int c) {
        return device::Moments<A>{A(s.size(chunk)), partial[2 * line * s.C + c], partial[(2 * line + 1) * s.C + c]};
    };
    const auto all = over_group(s, group, device::Moments<A>::nothing(), of, device::MergeMoments{});
    const A first = static_cast<A>(p.x[group / of_sample * s.rows * s.C + group % of_sample * s.per]);
    if (threadIdx.x % 32 == 0) p.keep(group, double(first) + double(all.mean), double(all.variance()));
}

template <class T, int W>
__global__ void __launch_bounds__(LINES * 32) batch_norm_apply(const __grid_constant__ Forward<T> p, const __grid_constant__ Chunks s) {
    using A = Wide<T>;
    const int c = s.channel(W);
    if (c >= s.C) return;
    A high[W], low[W], scale[W], bias[W];
#pragma unroll
    for (int k = 0; k < W; ++k) {
        const device::Split<A> m(p.mean[s.group(c + k)]);
        high[k] = m.high, low[k] = m.low;
        scale[k] = A(p.rstd[s.group(c + k)]) * (p.weight ? p.weight[c + k] : A(1));
        bias[k] = p.bias ? p.bias[c + k] : A(0);
    }
    const int64_t last = s.last();
    for (int64_t row = s.first(); row < last; row += LINES) {
        A x[W];
        device::read<W>(x, p.x + row * s.C + c);
#pragma unroll
        for (int k = 0; k < W; ++k) x[k] = ((x[k] - high[k]) - low[k]) * scale[k] + bias[k];
        device::write<W>(p.y + row * s.C + c, x);
    }
}

template <class T> void solve(const Forward<T>& p, Array& partial) {
    const Chunks s(p.shape, partial);
    auto* const sums = partial.ptr<Wide<T>>();
    by_width<T>(s.C, {p.x, p.y}, [&]<int W>() {
        if (p.training) {
            launch(batch_norm_moments<T, W>, s.grid(W), BLOCK, 0, current_stream, p, s, sums);
            if (p.shape.per) launch(group_norm_merge<T>, device::blocks_for(32 * p.shape.groups, THREADS), THREADS, 0, current_stream, p, s, sums);
            else launch(batch_norm_merge<T>, device::blocks_for(s.C, THREADS), THREADS, 0, current_stream, p, s, sums);
        }
        launch(batch_norm_apply<T, W>, s.grid(W), BLOCK, 0, current_stream, p, s);
    });
}

namespace {

void batch_norm_rows(Array& y, Array& mean, Array& rstd, Array& running_mean, Array& running_var, const Array& x, const Array& weight, const Array& bias,
                     int64_t training, double momentum, double eps, Array& partial) {
    if (x.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        solve(Forward<T>{shape_of(x, 0), y.ptr<T>(), mean.ptr<double>(), rstd.ptr<double>(), device::WrittenParameter<T>(running_mean),
                         device::WrittenParameter<T>(running_var), x.ptr<T>(), device::Parameter<T>(weight), device::Parameter<T>(bias), training != 0,
                         momentum, eps},
              partial);
    });
}

void group_norm_rows(Array& y, Array& mean, Array& rstd, const Array& x, const Array& weight, const Array& bias, double eps, Array& partial) {
    if (x.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        const device::WrittenParameter<T> none{Array()};
        solve(Forward<T>{shape_of(x, x.shape[1] / mean.shape[1], mean.shape[0]), y.ptr<T>(), mean.ptr<double>(), rstd.ptr<double>(), none, none,
                         x.ptr<T>(), device::Parameter<T>(weight), device::Parameter<T>(bias), true, 0, eps},
              partial);
    });
}

TG_KERNEL(batch_norm, "cuda/v02_channels_last", device::FLOATS, batch_norm_rows)
TG_KERNEL(group_norm, "cuda/v02_channels_last", device::FLOATS, group_norm_rows)

}  // namespace

}  // namespace tg::batch_norm
