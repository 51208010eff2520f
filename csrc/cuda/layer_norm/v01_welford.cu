// The idea: mean and variance in one pass (Welford), 16 bytes a thread; a warp for a short row, a block for a long one.
// Before it (v00): two reads instead of three. Backward: columns are summed in chunks of rows side by side, chunks in their order: no atomics.
// Ownership: thread t of a row's threads owns packs t, t + threads, ...; backward a block owns 32 columns of a chunk of rows.
// Bottleneck: memory bandwidth. Backward reads g and x once for dx and once more for the columns.
// Measure: tensorgrad lab layer_norm cuda/v01_welford
#include "rows.h"

namespace tg::layer_norm {

namespace {

constexpr int WARPS = 4, BLOCK = 256, SHORT = 1024;  // rows of a block of warps; threads of a block for one row; elements a warp takes
constexpr int LINES = 8;                             // rows that a block of 32 columns works on at a time

}  // namespace

template <class T, int ROW, int THREADS> __global__ void __launch_bounds__(THREADS) layer_norm_welford(const __grid_constant__ Rows<T> r) {
    using A = Wide<T>;
    constexpr int PACK = device::PACK<T>;
    const int64_t row = int64_t(blockIdx.x) * (THREADS / ROW) + threadIdx.x / ROW;
    if (row >= r.rows) return;  // the whole warp, or the block
    const int thread = threadIdx.x % ROW;
    const T* x = r.x + row * r.n;
    T* y = r.y + row * r.n;
    const A shift = r.mean ? static_cast<A>(x[0]) : A(0);
    auto moments = device::Moments<A>::nothing();
    if (r.packed)
        for (int i = thread * PACK; i < r.n; i += ROW * PACK) {
            A v[PACK];
            device::load_pack(v, x + i);
#pragma unroll
            for (A& one : v) one -= shift;
            moments.add(v);
        }
    else
        for (int i = thread; i < r.n; i += ROW) {
            const A v[1] = {static_cast<A>(x[i]) - shift};
            moments.add(v);
        }
    moments = of_row<ROW>(moments, device::Moments<A>::nothing(), device::MergeMoments{});
    const A mean = r.mean ? moments.mean : A(0);
    const A square = r.mean ? moments.variance() : moments.variance() + moments.mean * moments.mean;  // rms_norm: around zero
    const A rstd = A(1) / std::sqrt(square + A(r.eps));
    if (thread == 0) {
        if (r.mean) r.mean[row] = double(shift) + double(mean);
        r.rstd[row] = double(rstd);
    }
    const auto result = [&](A v, int i) {
        v = ((v - shift) - mean) * rstd;
        if (r.weight) v *= r.weight[i];
        return r.bias ? v + r.bias[i] : v;
    };
    if (r.packed)
        for (int i = thread * PACK; i < r.n; i += ROW * PACK) {
            A v[PACK];
            device::load_pack(v, x + i);
#pragma unroll
            for (int k = 0; k < PACK; ++k) v[k] = result(v[k], i + k);
            device::store_pack(y + i, v);
        }
    else
        for (int i = thread; i < r.n; i += ROW) y[i] = static_cast<T>(result(static_cast<A>(x[i]), i));
}

template <class T, int ROW, int THREADS> __global__ void __launch_bounds__(THREADS) layer_norm_backward_rows(const __grid_constant__ Gradients<T> r) {
    using A = Wide<T>;
    const int64_t row = int64_t(blockIdx.x) * (THREADS / ROW) + threadIdx.x / ROW;
    if (row >= r.rows) return;
    const int thread = threadIdx.x % ROW;
    Sums<A> sums{A(0), A(0)};
    for (int i = thread; i < r.n; i += ROW) {
        const A gw = r.gw(row, i);
        sums = AddSums{}(sums, Sums<A>{gw, gw * r.xhat(row, i)});
    }
    sums = of_row<ROW>(sums, Sums<A>{A(0), A(0)}, AddSums{});
    const A average = r.mean ? sums.total / A(r.n) : A(0), slope = sums.dot / A(r.n), rstd = A(r.rstd[row]);
    for (int i = thread; i < r.n; i += ROW)
        r.dx[row * r.n + i] = static_cast<T>(((r.gw(row, i) - average) - r.xhat(row, i) * slope) * rstd);
}

template <class T> __global__ void __launch_bounds__(LINES * 32) layer_norm_backward_chunk(const __grid_constant__ Gradients<T> r) {
    using A = Wide<T>;
    __shared__ A dweight[LINES][32], dbias[LINES][32];
    const int i = blockIdx.x * 32 + threadIdx.x, line = threadIdx.y;
    const int64_t chunk = blockIdx.y, last = r.rows * (chunk + 1) / r.chunks;
    A w = 0, b = 0;
    for (int64_t row = r.rows * chunk / r.chunks + line; row < last && i < r.n; row += LINES) {
        const A g = static_cast<A>(r.g[row * r.n + i]);
        w += g * r.xhat(row, i);
        b += g;
    }
    dweight[line][threadIdx.x] = w;
    dbias[line][threadIdx.x] = b;
    __syncthreads();
    if (line != 0 || i >= r.n) return;
    double sum_w = 0, sum_b = 0;
    for (int l = 0; l < LINES; ++l) {
        sum_w += double(dweight[l][threadIdx.x]);
        sum_b += double(dbias[l][threadIdx.x]);
    }
    r.partial[chunk * 2 * r.n + i] = sum_w;
    r.partial[(chunk * 2 + 1) * r.n + i] = sum_b;
}

struct Welford {
    template <class T> static void solve(const Rows<T>& r) {
        if (r.n <= SHORT) launch(layer_norm_welford<T, 32, WARPS * 32>, device::blocks_for(r.rows, WARPS), WARPS * 32, 0, current_stream, r);
        else launch(layer_norm_welford<T, BLOCK, BLOCK>, device::blocks_for(r.rows, 1), BLOCK, 0, current_stream, r);
    }
    template <class T> static void solve(const Gradients<T>& r) {
        if (r.dx && r.rows) {
            if (r.n <= SHORT)
                launch(layer_norm_backward_rows<T, 32, WARPS * 32>, device::blocks_for(r.rows, WARPS), WARPS * 32, 0, current_stream, r);
            else launch(layer_norm_backward_rows<T, BLOCK, BLOCK>, device::blocks_for(r.rows, 1), BLOCK, 0, current_stream, r);
        }
        if (!r.dweight && !r.dbias) return;
        dim3 grid = device::blocks_for(r.n, 32);
        grid.y = unsigned(r.chunks);
        launch(layer_norm_backward_chunk<T>, grid, dim3(32, LINES), 0, current_stream, r);
        add_lines(r);
    }
};

LAYER_NORM_RUNG("cuda/v01_welford", Welford)

}  // namespace tg::layer_norm
