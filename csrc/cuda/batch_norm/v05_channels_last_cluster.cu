// The idea: with the channels last, a cluster has a few columns of all rows, keeps them in shared memory and reads nothing twice.
// Before it (v02): chunks of rows were summed by one launch, and read again by another; group_norm copied them to planes.
// Ownership: lane l of a line has W channels, its line every so many rows of the part its block has; block r of a cluster has the r-th part.
// Bottleneck: memory bandwidth in pieces of 32 to 128 bytes a row; x and y once (backward g, x and dx) up to 8 x 192 kB a cluster's columns.
// Measure: tensorgrad lab batch_norm cuda/v05_channels_last_cluster
#include "columns.h"

namespace tg::batch_norm {

template <class T, int W>
__global__ void __launch_bounds__(MOST_THREADS, 1) norm_columns(const __grid_constant__ Forward<T> p, const __grid_constant__ Columns s) {
#ifndef TG_NO_HOPPER
    using A = Wide<T>;
    DYNAMIC_SHARED(T, shared);
    T* const kept = shared + threadIdx.x * W;
    const int lane = s.lane(), c = s.first(W) + lane * W;
    const bool there = lane < s.packs && c < s.C;
    A shift[W] = {}, scale[W], bias[W], high[W], low[W];  // shift: the first element of the column's group
    const int64_t start = s.sample() * s.rows * s.C;
    if (there) first_of_group(shift, p.x + start, c, s.per);
    device::Moments<A> found[W];
#pragma unroll
    for (auto& m : found) m = device::Moments<A>::nothing();
    const auto load = [&](A(&v)[1][W], int, int64_t row) {
        if (there) device::read<W>(v[0], p.x + row * s.C + c);
    };
    down<1, W, A>(s, load, [&](A(&v)[STEP<1>][1][W], int k, int count, int64_t) {
#pragma unroll
        for (int j = 0; j < STEP<1>; ++j)
            if (j < count && k + j < s.kept) device::write<W>(kept + int64_t(k + j) * blockDim.x * W, v[j][0]);
#pragma unroll
        for (int i = 0; i < W; ++i) {
            A column[STEP<1>];
#pragma unroll
            for (int j = 0; j < STEP<1>; ++j) column[j] = v[j][0][i] - shift[i];
            if (count == STEP<1>) found[i].add(column);
            else
                for (int j = 0; j < count; ++j) {
                    const A one[1] = {column[j]};
                    found[i].add(one);
                }
        }
    });
    const Merging<device::Moments<A>> m(s, s.merging(shared, W), W);
    const auto* const columns = merge_columns<W>(s, m, found, device::MergeMoments{});
    const auto* const groups = merge_groups<W>(s, m, device::Moments<A>::nothing(), [&](int column) { return columns[column]; }, device::MergeMoments{});
    if (!there) return;
#pragma unroll
    for (int i = 0; i < W; ++i) {
        const device::Moments<A> of_group = groups[(lane * W + i) / s.per];
        const double mean = double(shift[i]) + double(of_group.mean);
        if (int(threadIdx.x) < s.lanes && device::cluster_rank() == 0 && (c + i) % s.per == 0) p.keep(s.group(c + i), mean, double(of_group.variance()));
        const device::Split<A> split(mean);
        high[i] = split.high, low[i] = split.low;
        scale[i] = A(1) / std::sqrt(of_group.variance() + A(p.eps)) * (p.weight ? p.weight[c + i] : A(1));
        bias[i] = p.bias ? p.bias[c + i] : A(0);
    }
    const auto again = [&](A(&v)[1][W], int k, int64_t row) {
        device::read<W>(v[0], k < s.kept ? kept + int64_t(k) * blockDim.x * W : p.x + row * s.C + c);
    };
    down<1, W, A>(s, again, [&](A(&v)[STEP<1>][1][W], int, int count, int64_t row) {
#pragma unroll
        for (int j = 0; j < STEP<1>; ++j) {
            if (j >= count) continue;
#pragma unroll
            for (int i = 0; i < W; ++i) v[j][0][i] = ((v[j][0][i] - high[i]) - low[i]) * scale[i] + bias[i];
            device::write<W>(p.y + (row + j * s.lines()) * s.C + c, v[j][0]);
        }
    });
#endif
}

struct HeldColumns {
    template <class T> static void solve(const Forward<T>& p) {
        by_pack<T>(p.shape, {p.x, p.y}, [&]<int W>() {
            const Columns s(p.shape, W, sizeof(T), sizeof(device::Moments<Wide<T>>));
            launch_clusters(norm_columns<T, W>, s.grid(), s.cluster, s.threads, s.shared, current_stream, p, s);
        });
    }
};

namespace {

void batch_norm_held_columns(Array& y, Array& mean, Array& rstd, Array& running_mean, Array& running_var, const Array& x, const Array& weight,
                             const Array& bias, int64_t training, double momentum, double eps) {
    if (!training) throw std::invalid_argument("batch_norm: the kernel is for training");
    batch_norm<HeldColumns>(y, mean, rstd, running_mean, running_var, x, weight, bias, training, momentum, eps);
}

TG_KERNEL(batch_norm, "cuda/v05_channels_last_cluster", device::FLOATS, batch_norm_held_columns, Chips{90, 99})
TG_KERNEL(group_norm, "cuda/v05_channels_last_cluster", device::FLOATS, group_norm<HeldColumns>, Chips{90, 99})

}  // namespace

}  // namespace tg::batch_norm
