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

template <class A> struct Found {
    A top, log_sum, weighted, weights;
};

// What a position's loss and gradient are made of, for all its threads, from one sweep over its classes.
template <class T, int ROW> __device__ Found<Wide<T>> found(const Forward<T>& p, int64_t position, int thread) {
    using A = Wide<T>;
    using F = softmax::LogSoftmax;
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
    return {stats.top, stats.prepared(), weighted, weights};
}

// Scores of a position become gradients: in another array, or where they are.
template <class T, int ROW> __device__ void write_gradient(const softmax::Rows<T>& r, int64_t position, int thread, const Gradient<T>& gradient) {
    using A = Wide<T>;
    const bool counts = gradient.t != gradient.labels.ignored;
    softmax::sweep<softmax::Softmax, true>(r, position, thread, ROW, [&](A x, A, int c) { return counts ? gradient(x, c) : A(0); });
}

}  // namespace

template <class T, int ROW, int THREADS> __global__ void __launch_bounds__(THREADS) cross_entropy_online(const __grid_constant__ Forward<T> p) {
    const int64_t position = int64_t(blockIdx.x) * (THREADS / ROW) + threadIdx.x / ROW;
    if (position >= p.scores.rows) return;  // the whole warp, or the block
    const auto f = found<T, ROW>(p, position, threadIdx.x % ROW);
    if (threadIdx.x % ROW == 0) p.finish(position, f.top, f.log_sum, f.weighted, f.weights);
}

template <class T, int ROW, int THREADS>
__global__ void __launch_bounds__(THREADS) cross_entropy_backward_online(const __grid_constant__ Backward<T> p) {
    using A = Wide<T>;
    const int64_t position = int64_t(blockIdx.x) * (THREADS / ROW) + threadIdx.x / ROW;
    if (position >= p.scores.rows) return;
    const int thread = threadIdx.x % ROW;
    A weights = 0;
    if (p.labels.uniform != 0) {
        for (int c = thread; c < p.scores.n; c += ROW) weights += p.labels.weight_of(c);
        weights = sum_of_row<ROW>(weights);
    }
    write_gradient<T, ROW>(p.scores, position, thread, p.gradient(position, weights));
}

// Both in one: the second sweep finds the scores in the caches.
template <class T, int ROW, int THREADS> __global__ void __launch_bounds__(THREADS) cross_entropy_step_online(const __grid_constant__ Step<T> p) {
    const auto& scores = p.forward.scores;
    const int64_t position = int64_t(blockIdx.x) * (THREADS / ROW) + threadIdx.x / ROW;
    if (position >= scores.rows) return;
    const int thread = threadIdx.x % ROW;
    const auto f = found<T, ROW>(p.forward, position, thread);
    if (thread == 0) p.forward.finish(position, f.top, f.log_sum, f.weighted, f.weights);
    if (!p.gradient) return;
    if constexpr (ROW == 32) __syncwarp();  // the label's score has been read
    else __syncthreads();
    write_gradient<T, ROW>(scores, position, thread, p.gradient_of(position, f.top, f.log_sum, f.weights));
}

struct Online {
    template <class T> static void solve(const Forward<T>& p) {
        start<T>(cross_entropy_online<T, 32, WARPS * 32>, cross_entropy_online<T, BLOCK, BLOCK>, p.scores, p);
    }
    template <class T> static void solve(const Backward<T>& p) {
        start<T>(cross_entropy_backward_online<T, 32, WARPS * 32>, cross_entropy_backward_online<T, BLOCK, BLOCK>, p.scores, p);
    }
    template <class T> static void solve(const Step<T>& p) {
        start<T>(cross_entropy_step_online<T, 32, WARPS * 32>, cross_entropy_step_online<T, BLOCK, BLOCK>, p.forward.scores, p);
    }

    template <class T, class Kernel, class P> static void start(Kernel of_warps, Kernel of_block, const softmax::Rows<T>& r, const P& p) {
        if (r.n <= SHORT) launch(of_warps, device::blocks_for(r.rows, WARPS), WARPS * 32, 0, current_stream, p);
        else launch(of_block, device::blocks_for(r.rows, 1), BLOCK, 0, current_stream, p);
    }
};

CROSS_ENTROPY_RUNG("cuda/v01_online", Online)

}  // namespace tg::cross_entropy
