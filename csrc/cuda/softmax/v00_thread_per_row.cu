// The idea: one thread per row: its maximum, the sum of its exponentials, its results; backward a dot product and the update.
// Before it: nothing; this is the definition, and the rung the others are measured against.
// Ownership: thread i of the grid owns row i and walks along it three times.
// Bottleneck: memory transactions: the lanes of a warp are a row apart (where inner > 1 they are neighbours, and it is quick).
// Measure: tensorgrad lab softmax cuda/v00_thread_per_row
#include "rows.h"

namespace tg::softmax {

template <class F, class T> __global__ void __launch_bounds__(128) softmax_thread_per_row(const __grid_constant__ Rows<T> r) {
    using A = Wide<T>;
    const int64_t row = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (row >= r.rows) return;
    const int64_t first = r.first(row);
    const auto a = [&](int i) { return static_cast<A>(r.a[first + i * r.inner]); };
    const auto b = [&](int i) { return F::TWO_INPUTS ? static_cast<A>(r.b[first + i * r.inner]) : A(0); };
    A top = LOWEST<A>, sum = 0;
    if (F::SHIFTED)
        for (int i = 0; i < r.n; ++i) top = device::Largest<A>{}(top, a(i));
    for (int i = 0; i < r.n; ++i) sum += F::part(a(i), b(i), top);
    const A s = F::prepared(sum);
    for (int i = 0; i < r.n; ++i) r.y[first + i * r.inner] = static_cast<T>(F::result(a(i), b(i), top, s));
}

struct ThreadPerRow {
    template <class F, class T> static void solve(const Rows<T>& r) {
        launch(softmax_thread_per_row<F, T>, device::blocks_for(r.rows, 128), 128, 0, current_stream, r);
    }
};

SOFTMAX_RUNG("cuda/v00_thread_per_row", ThreadPerRow)

}  // namespace tg::softmax
