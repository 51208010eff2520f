// The idea: as forward, a lane has 16 bytes of channels; both sums go down the rows of a chunk, then a pass over the rows writes dx.
// Before it (v01): one block a channel, and a copy to bring its elements together.
// Ownership: as forward: lane x of line y of block (i, j) has channels (32 j + x) W ... + W of rows y, y + 8, ... of chunk i.
// Bottleneck: memory bandwidth: g and x twice and dx once; dx of inference from g alone.
// Measure: tensorgrad lab batch_norm_backward cuda/v02_channels_last
#include "channels_last.h"

namespace tg::batch_norm {

// A line of `partial` for each chunk: the sums of g and of g xhat over it. Behind them a line for each sample will have the means of gw and of
// gw xhat over its groups.
template <class T, int W>
__global__ void __launch_bounds__(LINES * 32) batch_norm_sums(const __grid_constant__ Backward<T> p, const __grid_constant__ Chunks s, Wide<T>* partial) {
    using A = Wide<T>;
    const int c = s.channel(W);
    const bool there = c < s.C;
    Pair<A> found[W] = {};
    A high[W] = {}, low[W] = {}, rstd[W] = {};
#pragma unroll
    for (int k = 0; k < W; ++k) {
        if (!there) continue;
        const device::Split<A> m(p.mean[s.group(c + k)]);
        high[k] = m.high, low[k] = m.low, rstd[k] = A(p.rstd[s.group(c + k)]);
    }
    const int64_t last = there ? s.last() : 0;
    for (int64_t row = s.first(); row < last; row += LINES) {
        A x[W], g[W];
        device::read<W>(x, p.x + row * s.C + c);
        device::read<W>(g, p.g + row * s.C + c);
#pragma unroll
        for (int k = 0; k < W; ++k) found[k] = AddPairs{}(found[k], {g[k], g[k] * (((x[k] - high[k]) - low[k]) * rstd[k])});
    }
    merge_lines<W>(found, AddPairs{});
    if (threadIdx.y != 0 || !there) return;
    A* const line = partial + int64_t(blockIdx.x) * 2 * s.C;
#pragma unroll
    for (int k = 0; k < W; ++k) line[c + k] = found[k].total, line[s.C + c + k] = found[k].dot;
}

template <class T>
__global__ void __launch_bounds__(THREADS) batch_norm_add(const __grid_constant__ Backward<T> p, const __grid_constant__ Chunks s, Wide<T>* partial) {
    const int c = blockIdx.x * THREADS + threadIdx.x;
    if (c >= s.C) return;
    double total = 0, dot = 0;
    const int64_t lines = s.samples * s.chunks;
    for (int64_t j = 0; j < lines; ++j) {
        total += double(partial[2 * j * s.C + c]);
        dot += double(partial[(2 * j + 1) * s.C + c]);
    }
    p.dweight.store(c, Wide<T>(dot));
    p.dbias.store(c, Wide<T>(total));
    if (p.shape.per) return;
    const double share = double(p.weight_of(c)) / double(s.rows);
    partial[2 * lines * s.C + c] = Wide<T>(total * share);
    partial[(2 * lines + 1) * s.C + c] = Wide<T>(dot * share);
}

template <class T>
__global__ void __launch_bounds__(THREADS) group_norm_means(const __grid_constant__ Backward<T> p, const __grid_constant__ Chunks s, Wide<T>* partial) {
    using A = Wide<T>;
    const int64_t group = (int64_t(blockIdx.x) * THREADS + threadIdx.x) / 32, of_sample = s.C / s.per;
    if (group >= p.shape.groups) return;
    const auto of = [&](int, int64_t line, int c) {
        const A weight = p.weight_of(c);
        return Pair<A>{weight * partial[2 * line * s.C + c], weight * partial[(2 * line + 1) * s.C + c]};
    };
    const Pair<A> sums = over_group(s, group, Pair<A>{A(0), A(0)}, of, AddPairs{});
    if (threadIdx.x % 32 != 0) return;
    A* const line = partial + 2 * (s.samples * s.chunks + group / of_sample) * s.C + group % of_sample;
    line[0] = sums.total / A(p.shape.count), line[s.C] = sums.dot / A(p.shape.count);
}

template <class T, int W>
__global__ void __launch_bounds__(LINES * 32) batch_norm_dx(const __grid_constant__ Backward<T> p, const __grid_constant__ Chunks s, const Wide<T>* partial) {
    using A = Wide<T>;
    const int c = s.channel(W);
    if (c >= s.C) return;
    const A* const means = partial + 2 * (s.samples * s.chunks + s.sample()) * s.C;
    A high[W], low[W], rstd[W], weight[W], mean_g[W], mean_gx[W];
#pragma unroll
    for (int k = 0; k < W; ++k) {
        const device::Split<A> m(p.mean[s.group(c + k)]);
        high[k] = m.high, low[k] = m.low, rstd[k] = A(p.rstd[s.group(c + k)]), weight[k] = p.weight_of(c + k);
        mean_g[k] = p.training ? means[(c + k) / s.per] : A(0);
        mean_gx[k] = p.training ? means[s.C + (c + k) / s.per] : A(0);
    }
    const int64_t last = s.last();
    for (int64_t row = s.first(); row < last; row += LINES) {
        A x[W] = {}, g[W];
        device::read<W>(g, p.g + row * s.C + c);
        if (p.training) device::read<W>(x, p.x + row * s.C + c);
#pragma unroll
        for (int k = 0; k < W; ++k) {
            g[k] *= weight[k];
            if (p.training) g[k] -= mean_g[k] + ((x[k] - high[k]) - low[k]) * rstd[k] * mean_gx[k];
            g[k] *= rstd[k];
        }
        device::write<W>(p.dx + row * s.C + c, g);
    }
}

template <class T> void solve(const Backward<T>& p, Array& partial) {
    const Chunks s(p.shape, partial);
    auto* const sums = partial.ptr<Wide<T>>();
    by_width<T>(s.C, {p.x, p.g, p.dx}, [&]<int W>() {
        if (p.training || p.dweight || p.dbias) {
            launch(batch_norm_sums<T, W>, s.grid(W), BLOCK, 0, current_stream, p, s, sums);
            launch(batch_norm_add<T>, device::blocks_for(s.C, THREADS), THREADS, 0, current_stream, p, s, sums);
        }
        if (p.shape.per && p.dx) launch(group_norm_means<T>, device::blocks_for(32 * p.shape.groups, THREADS), THREADS, 0, current_stream, p, s, sums);
        if (p.dx) launch(batch_norm_dx<T, W>, s.grid(W), BLOCK, 0, current_stream, p, s, sums);
    });
}

namespace {

void batch_norm_rows_backward(Array& dx, Array& dweight, Array& dbias, const Array& g, const Array& x, const Array& weight, const Array& mean,
                              const Array& rstd, int64_t training, Array& partial) {
    if (x.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        solve(Backward<T>{shape_of(x, 0), dx.ptr<T>(), device::WrittenParameter<T>(dweight), device::WrittenParameter<T>(dbias), g.ptr<T>(), x.ptr<T>(),
                          device::Parameter<T>(weight), mean.ptr<double>(), rstd.ptr<double>(), training != 0},
              partial);
    });
}

void group_norm_rows_backward(Array& dx, Array& dweight, Array& dbias, Array&, const Array& g, const Array& x, const Array& weight, const Array& mean,
                              const Array& rstd, Array& partial) {
    if (x.size() == 0) return;
    device::by_dtype(x.dtype, [&]<class T>() {
        solve(Backward<T>{shape_of(x, x.shape[1] / mean.shape[1], mean.shape[0]), dx.ptr<T>(), device::WrittenParameter<T>(dweight),
                          device::WrittenParameter<T>(dbias), g.ptr<T>(), x.ptr<T>(), device::Parameter<T>(weight), mean.ptr<double>(),
                          rstd.ptr<double>(), true},
              partial);
    });
}

TG_KERNEL(batch_norm_backward, "cuda/v02_channels_last", device::FLOATS, batch_norm_rows_backward)
TG_KERNEL(group_norm_backward, "cuda/v02_channels_last", device::FLOATS, group_norm_rows_backward)

}  // namespace

}  // namespace tg::batch_norm
