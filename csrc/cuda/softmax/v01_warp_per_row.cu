// The idea: a warp per row, so that its lanes read neighbours; shuffles merge what the lanes found.
// Before it (v00): coalesced requests instead of strided ones, 16 bytes a lane where the rows allow; 32 times the parallelism.
// Ownership: lane l owns the elements (or packs of 16 bytes) l, l + 32, ... of its warp's row.
// Bottleneck: three sweeps over the row; one warp has too few loads under way for long rows.
// Measure: tensorgrad lab softmax cuda/v01_warp_per_row
#include "rows.h"

namespace tg::softmax {

namespace {

constexpr int WARPS = 4;

}  // namespace

template <class F, class T> __global__ void __launch_bounds__(WARPS * 32) softmax_warp_per_row(const __grid_constant__ Rows<T> r) {
    using A = Wide<T>;
    const int64_t row = int64_t(blockIdx.x) * WARPS + threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (row >= r.rows) return;  // the whole warp
    A top = LOWEST<A>, sum = 0;
    if constexpr (F::SHIFTED) {
        sweep<F, false>(r, row, lane, 32, [&](A a, A, int) { top = device::Largest<A>{}(top, a); });
        top = device::warp_reduce(top, device::Largest<A>{});
    }
    sweep<F, false>(r, row, lane, 32, [&](A a, A b, int) { sum += F::part(a, b, top); });
    const A s = F::prepared(device::warp_reduce(sum, device::Sum<A>{}));
    sweep<F, true>(r, row, lane, 32, [&](A a, A b, int) { return F::result(a, b, top, s); });
}

struct WarpPerRow {
    template <class F, class T> static void solve(const Rows<T>& r) {
        launch(softmax_warp_per_row<F, T>, device::blocks_for(r.rows, WARPS), WARPS * 32, 0, current_stream, r);
    }
};

SOFTMAX_RUNG("cuda/v01_warp_per_row", WarpPerRow)

}  // namespace tg::softmax
