// The idea: a row is read once, and stays in registers until its results are written. Backward the blocks persist, and sums of columns with them.
// Before it (v01): a row was read twice; backward read g and x once for dx and once more for the columns. Now one walk over the rows does both.
// Ownership: thread t of a row's threads (32, 256 or 512) owns packs t, t + threads, ... of every row its block meets, and these columns' sums.
// Bottleneck: memory bandwidth: x and y once; backward g, x and dx once, beside a line of partial sums from each block.
// Measure: tensorgrad lab layer_norm cuda/v02_persistent
#include "../../device/packs.cuh"
#include "rows.h"

namespace tg::layer_norm {

namespace {

template <class T> constexpr int HELD = 128 / int(sizeof(Wide<T>));  // elements of a row in a thread

// A thread's elements of a row: packs of neighbours, or single elements a row's threads apart.
template <class T, int ROW> struct Share {
    static constexpr int PACK = device::PACK<T>, PACKS = HELD<T> / PACK;
    int thread, n;
    bool packed;

    __host__ __device__ static int places(int n) { return (n + PACK * ROW - 1) / (PACK * ROW) * PACK * ROW; }

    // Which element of the row, and its place in shared memory: there neighbouring threads are neighbours, whatever they load at a time.
    __device__ int index(int p, int k) const { return packed ? (p * ROW + thread) * PACK + k : place(p, k); }
    __device__ int place(int p, int k) const { return (p * PACK + k) * ROW + thread; }

    __device__ void load(Wide<T> (&to)[PACKS][PACK], const T* from) const {
#pragma unroll
        for (int p = 0; p < PACKS; ++p) {
            if (packed) {
                if (index(p, 0) < n) device::load_pack(to[p], from + index(p, 0));
            } else {
#pragma unroll
                for (int k = 0; k < PACK; ++k)
                    if (index(p, k) < n) to[p][k] = static_cast<Wide<T>>(from[index(p, k)]);
            }
        }
    }
    __device__ void store(T* to, const Wide<T> (&from)[PACKS][PACK]) const {
#pragma unroll
        for (int p = 0; p < PACKS; ++p) {
            if (packed) {
                if (index(p, 0) < n) device::store_pack(to + index(p, 0), from[p]);
            } else {
#pragma unroll
                for (int k = 0; k < PACK; ++k)
                    if (index(p, k) < n) to[index(p, k)] = static_cast<T>(from[p][k]);
            }
        }
    }
    // The elements of a parameter beside pack p; `none` where there is no parameter.
    __device__ void load(Wide<T> (&to)[PACK], const device::Parameter<T>& from, int p, Wide<T> none) const {
        if (from && packed) {
            if (index(p, 0) >= n) return;
            if constexpr (sizeof(T) == 2)
                if (from.wide) return device::read<PACK>(to, static_cast<const float*>(from.data) + index(p, 0));
            device::load_pack(to, static_cast<const T*>(from.data) + index(p, 0));
        } else {
#pragma unroll
            for (int k = 0; k < PACK; ++k) to[k] = from && index(p, k) < n ? from[index(p, k)] : none;
        }
    }
    template <class F> __device__ void visit(F f) const {  // f(p, k, element)
#pragma unroll
        for (int p = 0; p < PACKS; ++p)
#pragma unroll
            for (int k = 0; k < PACK; ++k)
                if (index(p, k) < n) f(p, k, index(p, k));
    }
};

}  // namespace

template <class T, int ROW, int THREADS> __global__ void __launch_bounds__(THREADS, 1) layer_norm_held(const __grid_constant__ Rows<T> r) {
    using A = Wide<T>;
    using S = Share<T, ROW>;
    const int64_t row = int64_t(blockIdx.x) * (THREADS / ROW) + threadIdx.x / ROW;
    if (row >= r.rows) return;  // the whole warp, or the block
    const S own{int(threadIdx.x) % ROW, r.n, r.packed};
    const A shift = r.mean ? static_cast<A>(r.x[row * r.n]) : A(0);
    A x[S::PACKS][S::PACK] = {};
    own.load(x, r.x + row * r.n);
    auto moments = device::Moments<A>::nothing();
    own.visit([&](int p, int k, int) { x[p][k] -= shift; });
#pragma unroll
    for (int p = 0; p < S::PACKS; ++p) {
        if (r.packed) {
            if (own.index(p, 0) < r.n) moments.add(x[p]);
        } else {
#pragma unroll
            for (int k = 0; k < S::PACK; ++k)
                if (const A one[1] = {x[p][k]}; own.index(p, k) < r.n) moments.add(one);
        }
    }
    moments = of_row<ROW>(moments, device::Moments<A>::nothing(), device::MergeMoments{});
    const A mean = r.mean ? moments.mean : A(0);
    const A square = r.mean ? moments.variance() : moments.variance() + moments.mean * moments.mean;  // rms_norm: around zero
    const A rstd = A(1) / std::sqrt(square + A(r.eps));
    if (own.thread == 0) {
        if (r.mean) r.mean[row] = double(shift) + double(mean);
        r.rstd[row] = double(rstd);
    }
#pragma unroll
    for (int p = 0; p < S::PACKS; ++p) {
        A weight[S::PACK] = {}, bias[S::PACK] = {};
        own.load(weight, r.weight, p, A(1));
        own.load(bias, r.bias, p, A(0));
#pragma unroll
        for (int k = 0; k < S::PACK; ++k) x[p][k] = (x[p][k] - mean) * rstd * weight[k] + bias[k];
    }
    own.store(r.y + row * r.n, x);
}

// Block b has rows b, b + blocks, ... (or as many rows at a time as it has warps), and leaves line b of the partial sums.
template <class T, int ROW, int THREADS>
__global__ void __launch_bounds__(THREADS, 1) layer_norm_backward_persistent(const __grid_constant__ Gradients<T> r) {
    using A = Wide<T>;
    using S = Share<T, ROW>;
    constexpr int LINES = THREADS / ROW;
    DYNAMIC_SHARED(A, sums);  // (LINES, 2, places): each line's own sums, each column one thread's
    const S own{int(threadIdx.x) % ROW, r.n, r.packed};
    const int line = threadIdx.x / ROW, places = S::places(r.n);
    const bool columns = r.dweight || r.dbias;
    A* const dweight = sums + line * 2 * places;
    A* const dbias = dweight + places;
    if (columns) own.visit([&](int p, int k, int) { dweight[own.place(p, k)] = dbias[own.place(p, k)] = 0; });
    for (int64_t row = int64_t(blockIdx.x) * LINES + line; row < r.rows; row += int64_t(gridDim.x) * LINES) {
        A x[S::PACKS][S::PACK], g[S::PACKS][S::PACK];
        own.load(x, r.x + row * r.n);
        own.load(g, r.g + row * r.n);
        const device::Split<A> m(r.mean ? r.mean[row] : 0);
        const A rstd = A(r.rstd[row]);
        Sums<A> s{A(0), A(0)};
#pragma unroll
        for (int p = 0; p < S::PACKS; ++p) {
            A weight[S::PACK] = {};
            own.load(weight, r.weight, p, A(1));
#pragma unroll
            for (int k = 0; k < S::PACK; ++k) {
                if (own.index(p, k) >= r.n) continue;
                x[p][k] = ((x[p][k] - m.high) - m.low) * rstd;
                if (columns) {
                    dweight[own.place(p, k)] += g[p][k] * x[p][k];
                    dbias[own.place(p, k)] += g[p][k];
                }
                g[p][k] *= weight[k];
                s = AddSums{}(s, {g[p][k], g[p][k] * x[p][k]});
            }
        }
        if (!r.dx) continue;
        s = of_row<ROW>(s, Sums<A>{A(0), A(0)}, AddSums{});
        const A average = r.mean ? s.total / A(r.n) : A(0), slope = s.dot / A(r.n);
        own.visit([&](int p, int k, int) { g[p][k] = ((g[p][k] - average) - x[p][k] * slope) * rstd; });
        own.store(r.dx + row * r.n, g);
    }
    if (!columns) return;
    __syncthreads();
    for (int i = threadIdx.x; i < places; i += THREADS) {
        const S whose{i % ROW, r.n, r.packed};
        const int column = whose.index(i / ROW / S::PACK, i / ROW % S::PACK);
        if (column >= r.n) continue;
        double w = 0, b = 0;
        for (int l = 0; l < LINES; ++l) {
            w += double(sums[l * 2 * places + i]);
            b += double(sums[(l * 2 + 1) * places + i]);
        }
        r.partial[blockIdx.x * int64_t(2) * r.n + column] = w;
        r.partial[(blockIdx.x * int64_t(2) + 1) * r.n + column] = b;
    }
}

struct Persistent {
    template <class T> static void solve(const Rows<T>& r) {
        if (r.n <= 32 * HELD<T>) launch(layer_norm_held<T, 32, 128>, device::blocks_for(r.rows, 4), 128, 0, current_stream, r);
        else if (r.n <= 256 * HELD<T>) launch(layer_norm_held<T, 256, 256>, device::blocks_for(r.rows, 1), 256, 0, current_stream, r);
        else if (r.n <= 512 * HELD<T>) launch(layer_norm_held<T, 512, 512>, device::blocks_for(r.rows, 1), 512, 0, current_stream, r);
        else too_long(r.n);
    }
    template <class T> static void solve(const Gradients<T>& r) {
        start(r);
        if (r.dweight || r.dbias) add_lines(r);
    }

    template <class T> static void start(const Gradients<T>& r) {
        if (r.n <= 32 * HELD<T>) return start<T, 32, 256>(r);
        if (r.n <= 256 * HELD<T>) return start<T, 256, 256>(r);
        if constexpr (sizeof(T) < 8)  // two rows of doubles are too much for the registers of 512 threads
            if (r.n <= 384 * HELD<T>) return start<T, 512, 512>(r);  // its sums: 96 kB
        too_long(r.n);
    }
    template <class T, int ROW, int THREADS> static void start(const Gradients<T>& r) {
        const size_t shared = r.dweight || r.dbias ? THREADS / ROW * 2 * Share<T, ROW>::places(r.n) * sizeof(Wide<T>) : 0;
        launch(layer_norm_backward_persistent<T, ROW, THREADS>, unsigned(r.chunks), THREADS, shared, current_stream, r);
    }
    static void too_long(int n) { throw std::invalid_argument("a row of " + std::to_string(n) + " elements is more than a block's registers hold"); }
};

LAYER_NORM_RUNG("cuda/v02_persistent", Persistent)

}  // namespace tg::layer_norm
