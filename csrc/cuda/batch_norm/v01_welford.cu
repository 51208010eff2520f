// The idea: mean and variance in one pass (Welford, eight elements a step); backward both sums in one pass.
// Before it (v00): two reads of every element instead of three, and one reduction instead of two.
// Ownership: thread t of 256 owns elements t, t + 256, ... of its block's group.
// Bottleneck: memory bandwidth; where S is short the lanes of a warp touch many rows, and few channels leave the chip idle.
// Measure: tensorgrad lab batch_norm cuda/v01_welford
#include "groups.h"

namespace tg::batch_norm {

struct Welford {
    static constexpr int STEP = 8;

    template <class T> __device__ static device::Moments<Wide<T>> statistics(const Forward<T>& p, int64_t group, Wide<T> shift) {
        using A = Wide<T>;
        auto moments = device::Moments<A>::nothing();
        int i = threadIdx.x;
        for (; i + (STEP - 1) * THREADS < p.shape.count; i += STEP * THREADS) {
            A v[STEP];
#pragma unroll
            for (int k = 0; k < STEP; ++k) v[k] = static_cast<A>(p.x[p.shape.at(group, i + k * THREADS)]) - shift;
            moments.add(v);
        }
        for (; i < p.shape.count; i += THREADS) {
            const A v[1] = {static_cast<A>(p.x[p.shape.at(group, i)]) - shift};
            moments.add(v);
        }
        return device::block_reduce(moments, device::Moments<A>::nothing(), device::MergeMoments{});
    }

    template <class T> __device__ static Pair<Wide<T>> sums(const Backward<T>& p, int64_t group) {
        using A = Wide<T>;
        Pair<A> s{A(0), A(0)};
        for (int i = threadIdx.x; i < p.shape.count; i += THREADS) {
            const int64_t at = p.shape.at(group, i);
            const A g = p.gradient(at, group, i);
            s.total += g;
            s.dot += g * p.xhat(group, at);
        }
        return device::block_reduce(s, Pair<A>{A(0), A(0)}, AddPairs{});
    }
};

BATCH_NORM_RUNG("cuda/v01_welford", Launched<Welford>)

}  // namespace tg::batch_norm
