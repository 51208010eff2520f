// The idea: the scores are read once: maximum and sum in one pass, the smoothing's sums beside them; probabilities are never stored.
// Before it (v00): a warp (few classes) or a block for each position, 16 bytes a thread; one reduction instead of a second pass.
// Ownership: thread t of a position's threads owns the classes (or packs of 16 bytes) t, t + threads, ...
// Bottleneck: memory bandwidth: one read forward; one read and one write backward, the least there is.
// Measure: tensorgrad lab cross_entropy_labels cuda/v01_online
#include "positions.h"

namespace tg::cross_entropy {

namespace {

constexpr int WARPS = 4, BLOCK = 256, SHORT = 1024;  // positions of a block of warps; threads of a block for one; classes of a warp

template <int ROW, class A> __device__ A sum_of_row(A value) {
    if constexpr (ROW == 32) return device::warp_reduce(value, device::Sum<A>{});
    else return device::block_reduce(value, A(0), device::Sum<A>{});
}

}  // namespace

template <class T, int ROW, int THREADS> __global__ void __launch_bounds__(THREADS) cross_entropy_online(const __grid_constant__ Forward<T> p) {
    using A = Wide<T>;
    using F = softmax::LogSoftmax;
    const int64_t position = int64_t(blockIdx.x) * (THREADS / ROW) + threadIdx.x / ROW;
    if (position >= p.scores.rows) return;  // the whole warp, or the block
    const int thread = threadIdx.x % ROW;
    const bool smooth = p.labels.uniform != 0;
    auto stats = softmax::Stats<F, A>::nothing();
    A weighted = 0, weights = 0;
    softmax::sweep<F, false>(p.scores, position, thread, ROW, [&](A x, A, int c) {
        stats.add(x, A(0));
        if (smooth) {
            const A w = p.labels.weight_of(c);
            weighted += w * x;
            weights += w;
        }
    });
    if constexpr (ROW == 32) stats = device::warp_reduce(stats, softmax::MergeStats{});
    else stats = device::block_reduce(stats, softmax::Stats<F, A>::nothing(), softmax::MergeStats{});
    if (smooth) {
        weighted = sum_of_row<ROW>(weighted);
        weights = sum_of_row<ROW>(weights);
    }
    if (thread == 0) p.finish(position, stats.top, stats.prepared(), weighted, weights);
}

template <class T, int ROW, int THREADS>
__global__ void __launch_bounds__(THREADS) cross_entropy_backward_online(const __grid_constant__ Backward<T> p) {
    using A = Wide<T>;
    const int64_t position = int64_t(blockIdx.x) * (THREADS / ROW) + threadIdx.x / ROW;
    if (position >= p.scores.rows) return;
    const int thread = threadIdx.x % ROW;
    const int64_t t = p.labels.target[position];
    const bool counts = t != p.labels.ignored;
    A weights = 0;
    if (p.labels.uniform != 0) {
        for (int c = thread; c < p.scores.n; c += ROW) weights += p.labels.weight_of(c);
        weights = sum_of_row<ROW>(weights);
    }
    const A slope = counts ? p.slope(position, t, weights) : A(0);
    softmax::sweep<softmax::Softmax, true>(p.scores, position, thread, ROW, [&](A x, A, int c) {
        return counts ? p.gradient(position, t, slope, x, c) : A(0);
    });
}

struct Online {
    template <class T> static void solve(const Forward<T>& p) {
        if (p.scores.n <= SHORT)
            launch(cross_entropy_online<T, 32, WARPS * 32>, device::blocks_for(p.scores.rows, WARPS), WARPS * 32, 0, current_stream, p);
        else launch(cross_entropy_online<T, BLOCK, BLOCK>, device::blocks_for(p.scores.rows, 1), BLOCK, 0, current_stream, p);
    }
    template <class T> static void solve(const Backward<T>& p) {
        if (p.scores.n <= SHORT)
            launch(cross_entropy_backward_online<T, 32, WARPS * 32>, device::blocks_for(p.scores.rows, WARPS), WARPS * 32, 0, current_stream, p);
        else launch(cross_entropy_backward_online<T, BLOCK, BLOCK>, device::blocks_for(p.scores.rows, 1), BLOCK, 0, current_stream, p);
    }
};

TG_KERNEL(cross_entropy_labels, "cuda/v01_online", device::FLOATS, forward<Online>)
TG_KERNEL(cross_entropy_labels_backward, "cuda/v01_online", device::FLOATS, backward<Online>)

}  // namespace tg::cross_entropy
