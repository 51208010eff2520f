// The idea: a thread turns one pair of features, as the formula says it.
// Before it: nothing; this is the definition.
// Ownership: thread t of the grid owns pair t, counted through the pairs of a position, the positions and the heads.
// Bottleneck: instructions: each pair has its place worked out by divisions, and its own loads of cos and sin, as many bytes as x itself.
// Measure: tensorgrad lab rotary_embedding --kernel v00_pairs --shape 4x8x32x64 --shape 32x32 --shape 32x32
#include "heads.h"

namespace tg::rotary_embedding {

template <class T> __global__ void __launch_bounds__(THREADS) rotary_embedding_pairs(const __grid_constant__ Heads<T> p, int64_t count) {
    const int64_t t = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (t >= count) return;
    const int64_t row = t / p.pairs;
    const int pair = int(t - row * p.pairs), l = int(row % p.L), first = p.interleaved ? 2 * pair : pair, gap = p.interleaved ? 1 : p.pairs;
    const T* const from = p.from(row / p.L, l) + first;
    T* const to = p.to(row / p.L, l) + first;
    const int64_t at = int64_t(l) * p.pairs + pair;
    auto a = static_cast<Wide<T>>(from[0]), b = static_cast<Wide<T>>(from[gap]);
    turn<T>(a, b, p.cos[at], p.sin[at] * p.sign);
    to[0] = static_cast<T>(a);
    to[gap] = static_cast<T>(b);
}

struct Pairs {
    template <class T> static void solve(const Heads<T>& p) {
        const int64_t count = int64_t(p.B) * p.H * p.L * p.pairs;
        launch(rotary_embedding_pairs<T>, device::blocks_for(count, THREADS), THREADS, 0, current_stream, p, count);
    }
};

TG_KERNEL(rotary_embedding, "cuda/v00_pairs", device::FLOATS, run<Pairs>)

}  // namespace tg::rotary_embedding
