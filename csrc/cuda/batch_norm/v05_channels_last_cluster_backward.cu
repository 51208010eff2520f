// The idea: as forward, a cluster has a few columns of all rows; it keeps g and x of them and reads neither twice.
// Before it (v02): the sums of chunks were one launch, dx another, and each read both.
// Ownership: as forward: lane l of a line has W channels, its line every so many rows of the part its block has.
// Bottleneck: memory bandwidth in pieces of 32 to 128 bytes a row; g, x and dx once up to 8 x 192 kB of a cluster's columns of both.
// Measure: tensorgrad lab batch_norm_backward cuda/v05_channels_last_cluster
#include "columns.h"

namespace tg::batch_norm {

template <class T, int W>
__global__ void __launch_bounds__(MOST_THREADS, 1) norm_columns_backward(const __grid_constant__ Backward<T> p, const __grid_constant__ Columns s) {
#ifndef TG_NO_HOPPER
    using A = Wide<T>;
    DYNAMIC_SHARED(T, shared);
    T* const kept = shared + threadIdx.x * W;
    const int lane = s.lane(), c = s.first(W) + lane * W;
    const bool there = lane < s.packs && c < s.C;
    A high[W] = {}, low[W] = {}, rstd[W] = {}, average[W], slope[W];
    Pair<A> found[W] = {};
#pragma unroll
    for (int i = 0; i < W; ++i) {
        if (!there) continue;
        const device::Split<A> m(p.mean[s.group(c + i)]);
        high[i] = m.high, low[i] = m.low, rstd[i] = A(p.rstd[s.group(c + i)]);
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
    const Merging<Pair<A>> m(s, s.merging(shared, 2 * W), W);
    const Pair<A>* const columns = merge_columns<W>(s, m, found, AddPairs{});
    const auto weighted = [&](int column) {
        const A weight = p.weight_of(s.first(W) + column);
        return Pair<A>{weight * columns[column].total, weight * columns[column].dot};
    };
    const Pair<A>* const groups = merge_groups<W>(s, m, Pair<A>{A(0), A(0)}, weighted, AddPairs{});
    if (!there) return;
    const A n = A(s.rows) * A(s.per);
#pragma unroll
    for (int i = 0; i < W; ++i) {
        if (int(threadIdx.x) < s.lanes && device::cluster_rank() == 0) p.leave(s.sample(), c + i, columns[lane * W + i]);
        const Pair<A> sums = groups[(lane * W + i) / s.per];
        average[i] = sums.total / n * rstd[i], slope[i] = sums.dot / n * rstd[i] * rstd[i];
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
            for (int i = 0; i < W; ++i) v[j][0][i] = v[j][0][i] * rstd[i] - (average[i] + ((v[j][1][i] - high[i]) - low[i]) * slope[i]);
            device::write<W>(p.dx + (row + j * s.lines()) * s.C + c, v[j][0]);
        }
    });
#endif
}

struct HeldColumnsBackward {
    template <class T> static void solve(const Backward<T>& p) {
        by_pack<T>(p.shape, {p.x, p.g, p.dx}, [&]<int W>() {
            const Columns s(p.shape, W, 2 * sizeof(T), sizeof(Pair<Wide<T>>));
            launch_clusters(norm_columns_backward<T, W>, s.grid(), s.cluster, s.threads, s.shared, current_stream, p, s);
        });
        add_samples(p);
    }
};

namespace {

void batch_norm_held_columns_backward(Array& dx, Array& dweight, Array& dbias, const Array& g, const Array& x, const Array& weight, const Array& mean,
                                      const Array& rstd, int64_t training) {
    if (!training) throw std::invalid_argument("batch_norm_backward: the kernel is for training");
    batch_norm_backward<HeldColumnsBackward>(dx, dweight, dbias, g, x, weight, mean, rstd, training);
}

TG_KERNEL(batch_norm_backward, "cuda/v05_channels_last_cluster", device::FLOATS, batch_norm_held_columns_backward, Chips{90, 99})
TG_KERNEL(group_norm_backward, "cuda/v05_channels_last_cluster", device::FLOATS, group_norm_backward<HeldColumnsBackward>, Chips{90, 99})

}  // namespace

}  // namespace tg::batch_norm
