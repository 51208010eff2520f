// The idea: a cluster of blocks shares a position's scores; what a block read stays in its shared memory until the gradient is written.
// Before it (v01): a row longer than the caches hold between two sweeps is read twice. Loss and gradient now read it once, write it once.
// Ownership: block r of a position's cluster has the r-th part of the classes, its thread t packs t, t + 512, ... of that.
// Bottleneck: memory bandwidth. Without a gradient nothing is kept, and a cluster only brings more blocks to few positions.
// Measure: tensorgrad lab linear_cross_entropy cuda/v02_cluster
#include "../softmax/cluster.h"
#include "positions.h"

namespace tg::cross_entropy {

namespace {

using F = softmax::LogSoftmax;

template <class A> struct Sums {
    softmax::Stats<F, A> stats;
    A weighted, weights;

    __device__ static Sums nothing() { return {softmax::Stats<F, A>::nothing(), A(0), A(0)}; }
};

struct MergeSums {
    template <class A> __device__ Sums<A> operator()(const Sums<A>& a, const Sums<A>& b) const {
        return {softmax::MergeStats{}(a.stats, b.stats), a.weighted + b.weighted, a.weights + b.weights};
    }
};

}  // namespace

template <class T, int W>
__global__ void __launch_bounds__(softmax::CLUSTER_THREADS) cross_entropy_cluster(const __grid_constant__ Step<T> p, const __grid_constant__ softmax::Parts parts) {
#ifndef TG_NO_HOPPER
    using A = Wide<T>;
    DYNAMIC_SHARED(T, kept);
    constexpr int STEP = softmax::CLUSTER_THREADS * W;
    const auto& r = p.forward.scores;
    const auto& labels = p.forward.labels;
    const softmax::Own own(parts, r.n);
    const int64_t row = r.first(own.row), t = labels.target[own.row];
    const bool smooth = labels.uniform != 0;
    auto sums = Sums<A>::nothing();
#pragma unroll 2
    for (int i = own.start(W); i < own.last; i += STEP) {
        A x[W], none[W] = {};
        device::read<W>(x, r.a + row + i * r.inner);
        if (parts.held) device::write<W>(kept + (i - own.first), x);
        sums.stats.add(x, none);
        if (smooth)
#pragma unroll
            for (int k = 0; k < W; ++k) {
                const A w = labels.weight_of(i + k);
                sums.weighted += w * x[k];
                sums.weights += w;
            }
    }
    sums = device::cluster_reduce(sums, Sums<A>::nothing(), MergeSums{});
    const A top = sums.stats.top, log_sum = sums.stats.prepared();
    const bool has_label = t == labels.ignored ? own.first == 0 : t >= own.first && t < own.last;
    if (has_label && threadIdx.x == 0) p.forward.finish(own.row, top, log_sum, sums.weighted, sums.weights);
    if (!p.gradient) return;
    __syncthreads();  // the label's score has been read, by the block that replaces it
    const auto gradient = p.gradient_of(own.row, top, log_sum, sums.weights);
    const bool counts = t != labels.ignored;
#pragma unroll 2
    for (int i = own.start(W); i < own.last; i += STEP) {
        A x[W];
        if (parts.held) device::read<W>(x, kept + (i - own.first));
        else device::read<W>(x, r.a + row + i * r.inner);
#pragma unroll
        for (int k = 0; k < W; ++k) x[k] = counts ? gradient(x[k], i + k) : A(0);
        device::write<W>(r.y + row + i * r.inner, x);
    }
#endif
}

struct Cluster {
    template <class T> static void solve(const Forward<T>& p) { solve(Step<T>{p, nullptr, false}); }
    template <class T> static void solve(const Step<T>& p) {
        softmax::launch_cluster<T>(cross_entropy_cluster<T, device::PACK<T>>, cross_entropy_cluster<T, 1>, p.forward.scores, sizeof(T), p.gradient, p);
    }
};

TG_KERNEL(cross_entropy_labels, "cuda/v02_cluster", device::FLOATS, forward<Cluster>, Chips{90, 99})
TG_KERNEL(linear_cross_entropy, "cuda/v02_cluster", device::FLOATS, step<Cluster>, Chips{90, 99})

}  // namespace tg::cross_entropy
