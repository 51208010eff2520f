// The idea: a block per group (a channel of a batch, or channels of a sample): the mean, then the variance around it, then the result.
// Before it: nothing; this is the definition. Backward sums the gradient, then its product with xhat, then writes dx.
// Ownership: thread t of 256 owns elements t, t + 256, ... of its block's group.
// Bottleneck: every element is read three times, forward and backward.
// Measure: tensorgrad lab batch_norm cuda/v00_two_pass
#include "groups.h"

namespace tg::batch_norm {

struct TwoPass {
    // The sum over the group of f(element's place, its number), for every thread.
    template <class A, class F> __device__ static A sum(const Shape& s, int64_t group, F f) {
        A total = 0;
        for (int i = threadIdx.x; i < s.count; i += THREADS) total += f(s.at(group, i), i);
        return device::block_reduce(total, A(0), device::Sum<A>{});
    }

    template <class T> __device__ static device::Moments<Wide<T>> statistics(const Forward<T>& p, int64_t group, Wide<T> shift) {
        using A = Wide<T>;
        const A n = A(p.shape.count);
        const A mean = sum<A>(p.shape, group, [&](int64_t at, int) { return static_cast<A>(p.x[at]) - shift; }) / n;
        const A squares = sum<A>(p.shape, group, [&](int64_t at, int) {
            const A d = (static_cast<A>(p.x[at]) - shift) - mean;
            return d * d;
        });
        return {n, mean, squares};
    }

    template <class T> __device__ static Pair<Wide<T>> sums(const Backward<T>& p, int64_t group) {
        using A = Wide<T>;
        const A total = sum<A>(p.shape, group, [&](int64_t at, int i) { return p.gradient(at, group, i); });
        return {total, sum<A>(p.shape, group, [&](int64_t at, int i) { return p.gradient(at, group, i) * p.xhat(group, at); })};
    }
};

BATCH_NORM_RUNG("cuda/v00_two_pass", Launched<TwoPass>)

}  // namespace tg::batch_norm
