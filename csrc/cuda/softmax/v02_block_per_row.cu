// The idea: a block per row: enough loads under way for long rows, and a chip full of work where there are few.
// Before it (v01): the warps' values meet in shared memory, two barriers a reduction.
// Ownership: thread t of 256 owns the elements (or packs of 16 bytes) t, t + 256, ... of its block's row.
// Bottleneck: the row is read three times (backward twice), from the caches where they hold it; short rows leave threads idle.
// Measure: tensorgrad lab softmax cuda/v02_block_per_row
#include "rows.h"

namespace tg::softmax {

namespace {

constexpr int THREADS = 256;

}  // namespace

template <class F, class T> __global__ void __launch_bounds__(THREADS) softmax_block_per_row(const __grid_constant__ Rows<T> r) {
    using A = Wide<T>;
    const int64_t row = blockIdx.x;
    const int thread = threadIdx.x;
    A top = LOWEST<A>, sum = 0;
    if constexpr (F::SHIFTED) {
        sweep<F, false>(r, row, thread, THREADS, [&](A a, A, int) { top = device::Largest<A>{}(top, a); });
        top = device::block_reduce(top, LOWEST<A>, device::Largest<A>{});
    }
    sweep<F, false>(r, row, thread, THREADS, [&](A a, A b, int) { sum += F::part(a, b, top); });
    const A s = F::prepared(device::block_reduce(sum, A(0), device::Sum<A>{}));
    sweep<F, true>(r, row, thread, THREADS, [&](A a, A b, int) { return F::result(a, b, top, s); });
}

struct BlockPerRow {
    template <class F, class T> static void solve(const Rows<T>& r) {
        launch(softmax_block_per_row<F, T>, device::blocks_for(r.rows, 1), THREADS, 0, current_stream, r);
    }
};

SOFTMAX_RUNG("cuda/v02_block_per_row", BlockPerRow)

}  // namespace tg::softmax
