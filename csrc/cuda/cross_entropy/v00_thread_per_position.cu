// The idea: one thread per position walks over its classes: maximum, sum, loss; backward once more for the gradient.
// Before it: nothing; this is the definition.
// Ownership: thread i of the grid owns position i.
// Bottleneck: memory transactions where the classes of a position are neighbours; for images (inner > 1) its loads are coalesced.
// Measure: tensorgrad lab cross_entropy_labels cuda/v00_thread_per_position
#include "positions.h"

namespace tg::cross_entropy {

namespace {

template <class A> struct Found {
    A top, log_sum, weighted, weights;
};

// What a position's loss and gradient are made of, from three walks over its classes.
template <class T> __device__ Found<Wide<T>> found(const Forward<T>& p, int64_t position) {
    using A = Wide<T>;
    const auto& r = p.scores;
    const int64_t first = r.first(position);
    const auto x = [&](int c) { return static_cast<A>(r.a[first + c * r.inner]); };
    A top = softmax::LOWEST<A>, sum = 0, weighted = 0, weights = 0;
    for (int c = 0; c < r.n; ++c) top = device::Largest<A>{}(top, x(c));
    for (int c = 0; c < r.n; ++c) sum += std::exp(x(c) - top);
    if (p.labels.uniform != 0)
        for (int c = 0; c < r.n; ++c) {
            weighted += p.labels.weight_of(c) * x(c);
            weights += p.labels.weight_of(c);
        }
    return {top, std::log(sum), weighted, weights};
}

// Scores of a position become gradients: in another array, or where they are.
template <class T> __device__ void write_gradient(const softmax::Rows<T>& r, int64_t position, const Gradient<T>& gradient) {
    using A = Wide<T>;
    const int64_t first = r.first(position);
    const bool counts = gradient.t != gradient.labels.ignored;
    for (int c = 0; c < r.n; ++c) {
        const int64_t at = first + c * r.inner;
        r.y[at] = static_cast<T>(counts ? gradient(static_cast<A>(r.a[at]), c) : A(0));
    }
}

}  // namespace

template <class T> __global__ void __launch_bounds__(128) cross_entropy_thread_per_position(const __grid_constant__ Forward<T> p) {
    const int64_t position = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (position >= p.scores.rows) return;
    const auto f = found(p, position);
    p.finish(position, f.top, f.log_sum, f.weighted, f.weights);
}

template <class T> __global__ void __launch_bounds__(128) cross_entropy_backward_thread_per_position(const __grid_constant__ Backward<T> p) {
    const int64_t position = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (position >= p.scores.rows) return;
    Wide<T> weights = 0;
    if (p.labels.uniform != 0)
        for (int c = 0; c < p.scores.n; ++c) weights += p.labels.weight_of(c);
    write_gradient(p.scores, position, p.gradient(position, weights));
}

template <class T> __global__ void __launch_bounds__(128) cross_entropy_step_thread_per_position(const __grid_constant__ Step<T> p) {
    const int64_t position = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (position >= p.forward.scores.rows) return;
    const auto f = found(p.forward, position);
    p.forward.finish(position, f.top, f.log_sum, f.weighted, f.weights);
    if (p.gradient) write_gradient(p.forward.scores, position, p.gradient_of(position, f.top, f.log_sum, f.weights));
}

struct ThreadPerPosition {
    template <class T> static void solve(const Forward<T>& p) {
        launch(cross_entropy_thread_per_position<T>, device::blocks_for(p.scores.rows, 128), 128, 0, current_stream, p);
    }
    template <class T> static void solve(const Backward<T>& p) {
        launch(cross_entropy_backward_thread_per_position<T>, device::blocks_for(p.scores.rows, 128), 128, 0, current_stream, p);
    }
    template <class T> static void solve(const Step<T>& p) {
        launch(cross_entropy_step_thread_per_position<T>, device::blocks_for(p.forward.scores.rows, 128), 128, 0, current_stream, p);
    }
};

CROSS_ENTROPY_RUNG("cuda/v00_thread_per_position", ThreadPerPosition)

}  // namespace tg::cross_entropy
