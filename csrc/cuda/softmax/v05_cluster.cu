// The idea: a row longer than a block holds is shared by a cluster of blocks, whose sums meet in distributed shared memory.
// Before it (v03): such rows were read twice, by one block; here each block keeps its part in shared memory, and no row is read again.
// Ownership: block r of a row's cluster has the r-th part of the row, its thread t packs t, t + 512, ... of that.
// Bottleneck: memory bandwidth, up to 8 x 192 kB a row (with both inputs of backward); longer rows are read twice.
// Measure: tensorgrad lab softmax cuda/v05_cluster
#include "cluster.h"

namespace tg::softmax {

template <class F, class T, int W>
__global__ void __launch_bounds__(CLUSTER_THREADS) softmax_cluster(const __grid_constant__ Rows<T> r, const __grid_constant__ Parts parts) {
#ifndef TG_NO_HOPPER
    using A = Wide<T>;
    DYNAMIC_SHARED(T, kept);
    T* const kept_b = kept + parts.part;
    constexpr int STEP = CLUSTER_THREADS * W;
    const Own own(parts, r.n);
    const int64_t row = r.first(own.row);
    const auto load = [&](A(&a)[W], A(&b)[W], int i) {
        device::read<W>(a, r.a + row + i * r.inner);
        if constexpr (F::TWO_INPUTS) device::read<W>(b, r.b + row + i * r.inner);
    };
    auto stats = Stats<F, A>::nothing();
#pragma unroll 2
    for (int i = own.start(W); i < own.last; i += STEP) {
        A a[W], b[W] = {};
        load(a, b, i);
        if (parts.held) {
            device::write<W>(kept + (i - own.first), a);
            if constexpr (F::TWO_INPUTS) device::write<W>(kept_b + (i - own.first), b);
        }
        stats.add(a, b);
    }
    stats = device::cluster_reduce(stats, Stats<F, A>::nothing(), MergeStats{});
    const A top = stats.top, s = stats.prepared();
#pragma unroll 2
    for (int i = own.start(W); i < own.last; i += STEP) {
        A a[W], b[W] = {};
        if (parts.held) {
            device::read<W>(a, kept + (i - own.first));
            if constexpr (F::TWO_INPUTS) device::read<W>(b, kept_b + (i - own.first));
        } else {
            load(a, b, i);
        }
#pragma unroll
        for (int k = 0; k < W; ++k) a[k] = F::result(a[k], b[k], top, s);
        device::write<W>(r.y + row + i * r.inner, a);
    }
#endif
}

struct Cluster {
    template <class F, class T> static void solve(const Rows<T>& r) {
        launch_cluster<T>(softmax_cluster<F, T, device::PACK<T>>, softmax_cluster<F, T, 1>, r, sizeof(T) * (F::TWO_INPUTS ? 2 : 1), true, r);
    }
};

SOFTMAX_RUNG("cuda/v05_cluster", Cluster, Chips{90, 99})

}  // namespace tg::softmax
