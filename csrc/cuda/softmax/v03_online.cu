// The idea: read the row once. It stays in registers between the pass that finds maximum and sum and the pass that writes.
// Before it (v02): a third of the reads; maximum and sum come from one reduction instead of two. Short rows get a warp, others a block.
// Ownership: thread t of the row's threads owns packs t, t + threads, ...; at most HELD numbers of each input.
// Bottleneck: memory bandwidth. A row longer than the registers of a block (8192 floats) is read twice.
// Measure: tensorgrad lab softmax cuda/v03_online
#include "online.h"

namespace tg::softmax {

namespace {

constexpr int BLOCK = 512;  // threads of a long row

// Numbers a thread keeps of each input: 64 bytes, half of it for each of two inputs.
template <class F, class T> constexpr int HELD = 64 / int(sizeof(Wide<T>)) / (F::TWO_INPUTS ? 2 : 1);

}  // namespace

// ROW: threads of a row, a warp or the block.
template <class F, class T, int ROW, int THREADS>
__global__ void __launch_bounds__(THREADS, 1) softmax_online(const __grid_constant__ Rows<T> r) {
    using A = Wide<T>;
    constexpr int N = HELD<F, T>;
    const int64_t row = int64_t(blockIdx.x) * (THREADS / ROW) + threadIdx.x / ROW;
    if (row >= r.rows) return;  // the whole warp, or the block
    const int thread = threadIdx.x % ROW;
    const int64_t first = r.first(row);
    const bool held = r.n <= N * ROW;
    constexpr int PACK = device::PACK<T>, PACKS = N < PACK ? 1 : N / PACK;
    static_assert(N >= PACK);
    A a[PACKS][PACK], b[F::TWO_INPUTS ? PACKS : 1][PACK] = {};
    auto stats = Stats<F, A>::nothing();
    const auto index = [&](int p, int k) { return r.packed ? (p * ROW + thread) * PACK + k : (p * PACK + k) * ROW + thread; };
    if (held) {
#pragma unroll
        for (int p = 0; p < PACKS; ++p) {
            if (r.packed) {
                if (index(p, 0) >= r.n) continue;
                device::load_pack(a[p], r.a + first + index(p, 0));
                if constexpr (F::TWO_INPUTS) device::load_pack(b[p], r.b + first + index(p, 0));
            } else {
#pragma unroll
                for (int k = 0; k < PACK; ++k) {
                    if (index(p, k) >= r.n) continue;
                    a[p][k] = static_cast<A>(r.a[first + index(p, k) * r.inner]);
                    if constexpr (F::TWO_INPUTS) b[p][k] = static_cast<A>(r.b[first + index(p, k) * r.inner]);
                }
            }
        }
        const auto visit = [&](auto f) {
#pragma unroll
            for (int p = 0; p < PACKS; ++p)
#pragma unroll
                for (int k = 0; k < PACK; ++k)
                    if (index(p, k) < r.n) f(a[p][k], b[F::TWO_INPUTS ? p : 0][k]);
        };
        if constexpr (F::SHIFTED) visit([&](A x, A) { stats.top = device::Largest<A>{}(stats.top, x); });
        visit([&](A x, A y) { stats.sum += stats.share(x, y); });
    } else {
        sweep<F, false>(r, row, thread, ROW, [&](A x, A y, int) { stats.add(x, y); });
    }
    if constexpr (ROW == 32) stats = device::warp_reduce(stats, MergeStats{});
    else stats = device::block_reduce(stats, Stats<F, A>::nothing(), MergeStats{});
    const A top = stats.top, s = stats.prepared();
    if (!held) return sweep<F, true>(r, row, thread, ROW, [&](A x, A y, int) { return F::result(x, y, top, s); });
#pragma unroll
    for (int p = 0; p < PACKS; ++p) {
#pragma unroll
        for (int k = 0; k < PACK; ++k)
            if (index(p, k) < r.n) a[p][k] = F::result(a[p][k], b[F::TWO_INPUTS ? p : 0][k], top, s);
        if (r.packed) {
            if (index(p, 0) < r.n) device::store_pack(r.y + first + index(p, 0), a[p]);
        } else {
#pragma unroll
            for (int k = 0; k < PACK; ++k)
                if (index(p, k) < r.n) r.y[first + index(p, k) * r.inner] = static_cast<T>(a[p][k]);
        }
    }
}

struct Online {
    template <class F, class T> static void solve(const Rows<T>& r) {
        constexpr int WARPS = 4;
        if (r.n <= HELD<F, T> * 32)
            launch(softmax_online<F, T, 32, WARPS * 32>, device::blocks_for(r.rows, WARPS), WARPS * 32, 0, current_stream, r);
        else
            launch(softmax_online<F, T, BLOCK, BLOCK>, device::blocks_for(r.rows, 1), BLOCK, 0, current_stream, r);
    }
};

SOFTMAX_RUNG("cuda/v03_online", Online)

}  // namespace tg::softmax
