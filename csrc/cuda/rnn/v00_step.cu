// The idea: a step of a recurrent layer is one product and one kernel for all that is point-wise: gates, cell, state; the same way back.
// Before it: nothing; in operations a step of an LSTM would be a dozen launches, each through memory.
// Ownership: a thread owns a unit of a row (16 bytes of units where rows allow), with all its gates.
// Bottleneck: latency: two launches a step, each after the other; the product reads the recurrent weights anew at every step.
// Measure: tensorgrad lab recurrence cuda/v00_step
#include "cell.h"

namespace tg::rnn {

namespace {

constexpr int THREADS = 256;

template <class Cell> constexpr int SLOTS = Cell::KEPT > 0 ? Cell::KEPT : 1;

}  // namespace

template <class Cell, int N, class T> __global__ void __launch_bounds__(THREADS) rnn_step(const __grid_constant__ Forward<T> p, Cell cell) {
    using A = Wide<T>;
    constexpr int G = Cell::GATES, K = SLOTS<Cell>;
    const int64_t i = (int64_t(blockIdx.x) * THREADS + threadIdx.x) * N;
    if (i >= p.rows * p.H) return;
    const int64_t row = i / p.H, unit = i % p.H;
    A x[G][N], y[G][N], before[N] = {}, c_before[N] = {}, h[N], c[N] = {}, kept[K][N];
#pragma unroll
    for (int k = 0; k < G; ++k) {
        device::read<N>(x[k], p.gx + (row * G + k) * p.H + unit);
        device::read<N>(y[k], p.gh + (row * G + k) * p.H + unit);
    }
    if constexpr (Cell::BLENDS) device::read<N>(before, p.h_before + i);
    if constexpr (Cell::CELL) device::read<N>(c_before, p.c_before + i);
#pragma unroll
    for (int n = 0; n < N; ++n) {
        A xn[G], yn[G], kn[K];
#pragma unroll
        for (int k = 0; k < G; ++k) xn[k] = x[k][n], yn[k] = y[k][n];
        cell.forward(xn, yn, before[n], c_before[n], h[n], c[n], kn);
#pragma unroll
        for (int k = 0; k < Cell::KEPT; ++k) kept[k][n] = kn[k];
    }
    device::write<N>(p.h + i, h);
    if constexpr (Cell::CELL) device::write<N>(p.c + i, c);
    if (!p.kept) return;
#pragma unroll
    for (int k = 0; k < Cell::KEPT; ++k) device::write<N>(p.kept + (row * K + k) * p.H + unit, kept[k]);
}

template <class Cell, int N, class T> __global__ void __launch_bounds__(THREADS) rnn_step_backward(const __grid_constant__ Backward<T> p, Cell cell) {
    using A = Wide<T>;
    constexpr int G = Cell::GATES, K = SLOTS<Cell>;
    constexpr bool CARRIES = Cell::KEPT > 0;
    const int64_t i = (int64_t(blockIdx.x) * THREADS + threadIdx.x) * N;
    if (i >= p.rows * p.H) return;
    const int64_t row = i / p.H, unit = i % p.H;
    A dh[N], back[N] = {}, h[N] = {}, before[N] = {}, c[N] = {}, c_before[N] = {}, carry[N] = {}, kept[K][N] = {}, dx[G][N], dy[G][N];
    device::read<N>(dh, p.dy + i);
    if (p.dh) device::read<N>(back, p.dh + i);
    if constexpr (Cell::SLOPE_OF_STATE) device::read<N>(h, p.h + i);
    if constexpr (Cell::BLENDS) device::read<N>(before, p.h_before + i);
    if constexpr (CARRIES) device::read<N>(carry, p.carry + i);
    if constexpr (Cell::CELL) {
        device::read<N>(c, p.c + i);
        device::read<N>(c_before, p.c_before + i);
    }
#pragma unroll
    for (int k = 0; k < Cell::KEPT; ++k) device::read<N>(kept[k], p.kept + (row * K + k) * p.H + unit);
#pragma unroll
    for (int n = 0; n < N; ++n) {
        A kn[K], dxn[G], dyn[G] = {};
#pragma unroll
        for (int k = 0; k < K; ++k) kn[k] = kept[k][n];
        cell.backward(dh[n] + back[n], h[n], before[n], c[n], c_before[n], kn, carry[n], dxn, dyn);
#pragma unroll
        for (int k = 0; k < G; ++k) dx[k][n] = dxn[k], dy[k][n] = dyn[k];
    }
    if constexpr (CARRIES) device::write<N>(p.carry + i, carry);
#pragma unroll
    for (int k = 0; k < G; ++k) {
        device::write<N>(p.dgx + (row * G + k) * p.H + unit, dx[k]);
        if (p.dgh) device::write<N>(p.dgh + (row * G + k) * p.H + unit, dy[k]);
    }
}

struct Step {
    template <class Cell, class T> static void solve(const Forward<T>& p, Cell cell, bool packed) {
        constexpr int N = device::PACK<T>;
        if (packed) launch(rnn_step<Cell, N, T>, blocks(p, N), THREADS, 0, current_stream, p, cell);
        else launch(rnn_step<Cell, 1, T>, blocks(p, 1), THREADS, 0, current_stream, p, cell);
    }
    template <class Cell, class T> static void solve(const Backward<T>& p, Cell cell, bool packed) {
        constexpr int N = device::PACK<T>;
        if (packed) launch(rnn_step_backward<Cell, N, T>, blocks(p, N), THREADS, 0, current_stream, p, cell);
        else launch(rnn_step_backward<Cell, 1, T>, blocks(p, 1), THREADS, 0, current_stream, p, cell);
    }

    template <class P> static dim3 blocks(const P& p, int each) { return device::blocks_for(p.rows * p.H, int64_t(THREADS) * each); }
};

RNN_RUNG("cuda/v00_step", Step)

}  // namespace tg::rnn
