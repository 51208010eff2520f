// The idea: a block per row: the mean, then the variance around it, then the result: three reads of the row.
// Before it: nothing; this is the definition. Backward: a block per row for dx, a thread per column for dweight and dbias.
// Ownership: thread t of 128 owns elements t, t + 128, ... of its block's row; backward thread i of the grid owns column i.
// Bottleneck: three reads instead of one; the columns' sums use as many threads as a row has elements, and walk along all rows.
// Measure: tensorgrad lab layer_norm cuda/v00_two_pass
#include "rows.h"

namespace tg::layer_norm {

namespace {

constexpr int THREADS = 128;

template <class A> __device__ A sum_of_block(A value) { return device::block_reduce(value, A(0), device::Sum<A>{}); }

}  // namespace

template <class T> __global__ void __launch_bounds__(THREADS) layer_norm_two_pass(const __grid_constant__ Rows<T> r) {
    using A = Wide<T>;
    const T* x = r.x + blockIdx.x * int64_t(r.n);
    const A shift = r.mean ? static_cast<A>(x[0]) : A(0), n = A(r.n);
    A sum = 0, squares = 0;
    if (r.mean) {
        for (int i = threadIdx.x; i < r.n; i += THREADS) sum += static_cast<A>(x[i]) - shift;
        sum = sum_of_block(sum);
    }
    const A mean = sum / n;
    for (int i = threadIdx.x; i < r.n; i += THREADS) {
        const A d = (static_cast<A>(x[i]) - shift) - mean;
        squares += d * d;
    }
    const A rstd = A(1) / std::sqrt(sum_of_block(squares) / n + A(r.eps));
    if (threadIdx.x == 0) {
        if (r.mean) r.mean[blockIdx.x] = double(shift) + double(mean);
        r.rstd[blockIdx.x] = double(rstd);
    }
    for (int i = threadIdx.x; i < r.n; i += THREADS) {
        A y = ((static_cast<A>(x[i]) - shift) - mean) * rstd;
        if (r.weight) y *= r.weight[i];
        if (r.bias) y += r.bias[i];
        r.y[blockIdx.x * int64_t(r.n) + i] = static_cast<T>(y);
    }
}

template <class T> __global__ void __launch_bounds__(THREADS) layer_norm_two_pass_rows(const __grid_constant__ Gradients<T> r) {
    using A = Wide<T>;
    const int64_t row = blockIdx.x;
    A total = 0, dot = 0;
    for (int i = threadIdx.x; i < r.n; i += THREADS) {
        total += r.gw(row, i);
        dot += r.gw(row, i) * r.xhat(row, i);
    }
    const A average = r.mean ? sum_of_block(total) / A(r.n) : A(0), slope = sum_of_block(dot) / A(r.n), rstd = A(r.rstd[row]);
    for (int i = threadIdx.x; i < r.n; i += THREADS)
        r.dx[row * r.n + i] = static_cast<T>(((r.gw(row, i) - average) - r.xhat(row, i) * slope) * rstd);
}

template <class T> __global__ void __launch_bounds__(THREADS) layer_norm_two_pass_columns(const __grid_constant__ Gradients<T> r) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= r.n) return;
    Wide<T> dweight = 0, dbias = 0;
    for (int64_t row = 0; row < r.rows; ++row) {
        const auto g = static_cast<Wide<T>>(r.g[row * r.n + i]);
        dweight += g * r.xhat(row, i);
        dbias += g;
    }
    r.dweight.store(i, dweight);
    r.dbias.store(i, dbias);
}

struct TwoPass {
    template <class T> static void solve(const Rows<T>& r) {
        launch(layer_norm_two_pass<T>, device::blocks_for(r.rows, 1), THREADS, 0, current_stream, r);
    }
    template <class T> static void solve(const Gradients<T>& r) {
        if (r.dx && r.rows) launch(layer_norm_two_pass_rows<T>, device::blocks_for(r.rows, 1), THREADS, 0, current_stream, r);
        if (r.dweight || r.dbias) launch(layer_norm_two_pass_columns<T>, device::blocks_for(r.n, THREADS), THREADS, 0, current_stream, r);
    }
};

LAYER_NORM_RUNG("cuda/v00_two_pass", TwoPass)

}  // namespace tg::layer_norm
