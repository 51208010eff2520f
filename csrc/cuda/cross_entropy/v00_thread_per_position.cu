// The idea: one thread per position walks over its classes: maximum, sum, loss; backward once more for the gradient.
// Before it: nothing; this is the definition.
// Ownership: thread i of the grid owns position i.
// Bottleneck: memory transactions where the classes of a position are neighbours; for images (inner > 1) its loads are coalesced.
// Measure: tensorgrad lab cross_entropy_labels cuda/v00_thread_per_position
#include "positions.h"

namespace tg::cross_entropy {

template <class T> __global__ void __launch_bounds__(128) cross_entropy_thread_per_position(const __grid_constant__ Forward<T> p) {
    using A = Wide<T>;
    const auto& r = p.scores;
    const int64_t position = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (position >= r.rows) return;
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
    p.finish(position, top, std::log(sum), weighted, weights);
}

template <class T> __global__ void __launch_bounds__(128) cross_entropy_backward_thread_per_position(const __grid_constant__ Backward<T> p) {
    using A = Wide<T>;
    const auto& r = p.scores;
    const int64_t position = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (position >= r.rows) return;
    const int64_t first = r.first(position), t = p.labels.target[position];
    const bool counts = t != p.labels.ignored;
    A weights = 0;
    if (p.labels.uniform != 0)
        for (int c = 0; c < r.n; ++c) weights += p.labels.weight_of(c);
    const A slope = counts ? p.slope(position, t, weights) : A(0);
    for (int c = 0; c < r.n; ++c) {
        const int64_t at = first + c * r.inner;
        r.y[at] = static_cast<T>(counts ? p.gradient(position, t, slope, static_cast<A>(r.a[at]), c) : A(0));
    }
}

struct ThreadPerPosition {
    template <class T> static void solve(const Forward<T>& p) {
        launch(cross_entropy_thread_per_position<T>, device::blocks_for(p.scores.rows, 128), 128, 0, current_stream, p);
    }
    template <class T> static void solve(const Backward<T>& p) {
        launch(cross_entropy_backward_thread_per_position<T>, device::blocks_for(p.scores.rows, 128), 128, 0, current_stream, p);
    }
};

TG_KERNEL(cross_entropy_labels, "cuda/v00_thread_per_position", device::FLOATS, forward<ThreadPerPosition>)
TG_KERNEL(cross_entropy_labels_backward, "cuda/v00_thread_per_position", device::FLOATS, backward<ThreadPerPosition>)

}  // namespace tg::cross_entropy
