// The idea: as forward, a lane has 16 bytes of channels; both sums go down the rows of a chunk, then a pass over the rows writes dx.
// Before it (v01): one block a channel, and a copy to bring its elements together.
// Ownership: as forward: lane x of line y of block (i, j) has channels (32 i + x) W ... + W of rows y, y + 8, ... of chunk j.
// Bottleneck: memory bandwidth: g and x twice and dx once; dx of inference from g alone.
// Measure: tensorgrad lab batch_norm_backward cuda/v02_channels_last
#include "channels_last.h"

namespace tg::batch_norm {

// Line j of `partial`: the sums of g and of g xhat over chunk j; the last line will have those over all.
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
        const device::Split<A> m(p.mean[c + k]);
        high[k] = m.high, low[k] = m.low, rstd[k] = A(p.rstd[c + k]);
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
    A* const line = partial + int64_t(blockIdx.y) * 2 * s.C;
#pragma unroll
    for (int k = 0; k < W; ++k) line[c + k] = found[k].total, line[s.C + c + k] = found[k].dot;
}

template <class T>
__global__ void __launch_bounds__(THREADS) batch_norm_add(const __grid_constant__ Backward<T> p, const __grid_constant__ Chunks s, Wide<T>* partial) {
    const int c = blockIdx.x * THREADS + threadIdx.x;
    if (c >= s.C) return;
    double total = 0, dot = 0;
    for (int j = 0; j < s.chunks; ++j) {
        total += double(partial[int64_t(2 * j) * s.C + c]);
        dot += double(partial[int64_t(2 * j + 1) * s.C + c]);
    }
    p.dweight.store(c, Wide<T>(dot));
    p.dbias.store(c, Wide<T>(total));
    partial[int64_t(2 * s.chunks) * s.C + c] = Wide<T>(total / double(s.rows));
    partial[int64_t(2 * s.chunks + 1) * s.C + c] = Wide<T>(dot / double(s.rows));
}

template <class T, int W>
__global__ void __launch_bounds__(LINES * 32) batch_norm_dx(const __grid_constant__ Backward<T> p, const __grid_constant__ Chunks s, const Wide<T>* partial) {
    using A = Wide<T>;
    const int c = s.channel(W);
    if (c >= s.C) return;
    const A* const means = partial + int64_t(2 * s.chunks) * s.C;
    A high[W], low[W], rstd[W], weight[W], mean_g[W], mean_gx[W];
#pragma unroll
    for (int k = 0; k < W; ++k) {
        const device::Split<A> m(p.mean[c + k]);
        high[k] = m.high, low[k] = m.low, rstd[k] = A(p.rstd[c + k]), weight[k] = p.weight_of(c + k);
        mean_g[k] = p.training ? means[c + k] : A(0);
        mean_gx[k] = p.training ? means[s.C + c + k] : A(0);
    }
    const int64_t last = s.last();
    for (int64_t row = s.first(); row < last; row += LINES) {
        A x[W] = {}, g[W];
        device::read<W>(g, p.g + row * s.C + c);
        if (p.training) device::read<W>(x, p.x + row * s.C + c);
#pragma unroll
        for (int k = 0; k < W; ++k) {
            if (p.training) g[k] -= mean_g[k] + ((x[k] - high[k]) - low[k]) * rstd[k] * mean_gx[k];
            g[k] *= rstd[k] * weight[k];
        }
        device::write<W>(p.dx + row * s.C + c, g);
    }
}

namespace {

void batch_norm_rows_backward(Array& dx, Array& dweight, Array& dbias, const Array& g, const Array& x, const Array& weight, const Array& mean,
                              const Array& rstd, int64_t training, Array& partial) {
    if (x.size() == 0) return;
    const Chunks s(x, partial);
    device::by_dtype(x.dtype, [&]<class T>() {
        auto* const sums = partial.ptr<Wide<T>>();
        const Backward<T> p{{s.rows, s.C, 1, 0, s.C, int(s.rows)}, dx.ptr<T>(), device::WrittenParameter<T>(dweight), device::WrittenParameter<T>(dbias),
                            g.ptr<T>(), x.ptr<T>(), device::Parameter<T>(weight), mean.ptr<double>(), rstd.ptr<double>(), training != 0};
        by_width<T>(s.C, {p.x, p.g, p.dx}, [&]<int W>() {
            if (p.training || p.dweight || p.dbias) {
                launch(batch_norm_sums<T, W>, s.grid(W), BLOCK, 0, current_stream, p, s, sums);
                launch(batch_norm_add<T>, device::blocks_for(s.C, THREADS), THREADS, 0, current_stream, p, s, sums);
            }
            if (p.dx) launch(batch_norm_dx<T, W>, s.grid(W), BLOCK, 0, current_stream, p, s, sums);
        });
    });
}

TG_KERNEL(batch_norm_backward, "cuda/v02_channels_last", device::FLOATS, batch_norm_rows_backward)

}  // namespace

}  // namespace tg::batch_norm
