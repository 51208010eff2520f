// The idea: along a dimension that is not the last, neighbours in memory belong to neighbouring rows: a warp takes 32 columns.
// Before it (v03): the lanes of a warp read neighbours where inner > 1 too; eight warps share the length of their columns.
// Ownership: lane x of warp y owns elements y, y + 8, ... of column x of its block's 32 columns.
// Bottleneck: memory bandwidth; the columns are read twice, the second time from the L2 cache where it holds them.
// Measure: tensorgrad lab softmax cuda/v04_columns
#include "online.h"

namespace tg::softmax {

namespace {

constexpr int WARPS = 8;

}  // namespace

template <class F, class T> __global__ void __launch_bounds__(WARPS * 32) softmax_columns(const __grid_constant__ Rows<T> r) {
    using A = Wide<T>;
    __shared__ Stats<F, A> parts[WARPS][32];
    const int64_t row = int64_t(blockIdx.x) * 32 + threadIdx.x;
    const bool there = row < r.rows;
    const int64_t first = there ? r.first(row) : 0;
    const int n = there ? r.n : 0;
    auto stats = Stats<F, A>::nothing();
    for (int i = threadIdx.y; i < n; i += WARPS) {
        const int64_t at = first + i * r.inner;
        stats.add(static_cast<A>(r.a[at]), F::TWO_INPUTS ? static_cast<A>(r.b[at]) : A(0));
    }
    parts[threadIdx.y][threadIdx.x] = stats;
    __syncthreads();
    stats = Stats<F, A>::nothing();
#pragma unroll
    for (int w = 0; w < WARPS; ++w) stats = MergeStats{}(stats, parts[w][threadIdx.x]);
    const A top = stats.top, s = stats.prepared();
    for (int i = threadIdx.y; i < n; i += WARPS) {
        const int64_t at = first + i * r.inner;
        r.y[at] = static_cast<T>(F::result(static_cast<A>(r.a[at]), F::TWO_INPUTS ? static_cast<A>(r.b[at]) : A(0), top, s));
    }
}

struct Columns {
    template <class F, class T> static void solve(const Rows<T>& r) {
        launch(softmax_columns<F, T>, device::blocks_for(r.rows, 32), dim3(32, WARPS), 0, current_stream, r);
    }
};

SOFTMAX_RUNG("cuda/v04_columns", Columns)

}  // namespace tg::softmax
