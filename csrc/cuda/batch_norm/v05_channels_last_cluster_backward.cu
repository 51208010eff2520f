// The idea: as forward, a cluster has a few columns of all rows; it keeps g and x of them and reads neither twice.
// Before it (v02): the sums of chunks were one launch, dx another, and each read both.
// Ownership: as forward: lane l of a line has W channels, its line every so many rows of the part its block has.
// Bottleneck: memory bandwidth in pieces of 32 to 128 bytes a row; g, x and dx once up to 8 x 192 kB of a cluster's columns of both.
// Measure: tensorgrad lab batch_norm_backward cuda/v05_channels_last_cluster
#include "columns.h"

namespace tg::batch_norm {

template <class T, int W>
__global__ void __launch_bounds__(MOST_THREADS, 1) batch_norm_columns_backward(const __grid_constant__ Backward<T> p, const __grid_constant__ Columns s) {
#ifndef TG_NO_HOPPER
    using A = Wide<T>;
    DYNAMIC_SHARED(T, shared);
    T* const kept = shared + threadIdx.x * W;
    const int c = s.channel(W), column = int(threadIdx.x) % s.lanes * W;
    const bool there = c < s.C;
    A high[W] = {}, low[W] = {}, rstd[W] = {}, average[W], slope[W];
    Pair<A> found[W] = {};
#pragma unroll
    for (int i = 0; i < W; ++i) {
        if (!there) continue;
        const device::Split<A> m(p.mean[c + i]);
        high[i] = m.high, low[i] = m.low, rstd[i] = A(p.rstd[c + i]);
    }
    const auto load = [&](A(&v)[2][W], int, int64_t row) {
        if (!there) return;
        device::read<W>(v[0], p.g + row * s.C + c);
        device::read<W>(v[1], p.x + row * s.C + c);
    };
    down<2, W, A>(s, load, [&](A(&v)[STEP<2>][2][W], int k, int count, int64_t) {
#pragma unroll
        for (int j = 0; j < STEP<2>; ++j) {
            if (j >= count) continue;
            if (k + j < s.kept) {
                device::write<W>(kept + int64_t(k + j) * 2 * blockDim.x * W, v[j][0]);
                device::write<W>(kept + (int64_t(k + j) * 2 + 1) * blockDim.x * W, v[j][1]);
            }
#pragma unroll
            for (int i = 0; i < W; ++i) found[i] = AddPairs{}(found[i], {v[j][0][i], v[j][0][i] * (((v[j][1][i] - high[i]) - low[i]) * rstd[i])});
        }
    });
    const Pair<A>* const all = merge_columns<W>(s, found, AddPairs{});
    if (!there) return;
#pragma unroll
    for (int i = 0; i < W; ++i) {
        const Pair<A> sums = all[column + i];
        if (int(threadIdx.x) < s.lanes && device::cluster_rank() == 0) {
            p.dweight.store(c + i, sums.dot);
            p.dbias.store(c + i, sums.total);
        }
        average[i] = sums.total / A(s.rows), slope[i] = sums.dot / A(s.rows) * rstd[i];
        rstd[i] *= p.weight_of(c + i);
    }
    if (!p.dx) return;
    const auto again = [&](A(&v)[2][W], int k, int64_t row) {
        if (k >= s.kept) return load(v, k, row);
        device::read<W>(v[0], kept + int64_t(k) * 2 * blockDim.x * W);
        device::read<W>(v[1], kept + (int64_t(k) * 2 + 1) * blockDim.x * W);
    };
    down<2, W, A>(s, again, [&](A(&v)[STEP<2>][2][W], int, int count, int64_t row) {
#pragma unroll
        for (int j = 0; j < STEP<2>; ++j) {
            if (j >= count) continue;
#pragma unroll
            for (int i = 0; i < W; ++i) v[j][0][i] = (v[j][0][i] - (average[i] + ((v[j][1][i] - high[i]) - low[i]) * slope[i])) * rstd[i];
            device::write<W>(p.dx + (row + j * s.lines()) * s.C + c, v[j][0]);
        }
    });
#endif
}

namespace {

void batch_norm_held_columns_backward(Array& dx, Array& dweight, Array& dbias, const Array& g, const Array& x, const Array& weight, const Array& mean,
                                      const Array& rstd, int64_t training) {
    if (x.size() == 0) return;
    if (!training) throw std::invalid_argument("batch_norm_backward: the kernel is for training");
    device::by_dtype(x.dtype, [&]<class T>() {
        const Backward<T> p{{x.shape[0], x.shape[1], 1, 0, x.shape[1], int(x.shape[0])}, dx.ptr<T>(), device::WrittenParameter<T>(dweight),
                            device::WrittenParameter<T>(dbias), g.ptr<T>(), x.ptr<T>(), device::Parameter<T>(weight), mean.ptr<double>(),
                            rstd.ptr<double>(), true};
        by_width<T>(x.shape[1], {p.x, p.g, p.dx}, [&]<int W>() {
            const Columns s(x, W, 2 * sizeof(T));
            launch_clusters(batch_norm_columns_backward<T, W>, s.grid(W), s.cluster, s.threads, s.shared, current_stream, p, s);
        });
    });
}

TG_KERNEL(batch_norm_backward, "cuda/v05_channels_last_cluster", device::FLOATS, batch_norm_held_columns_backward, Chips{90, 99})

}  // namespace

}  // namespace tg::batch_norm
