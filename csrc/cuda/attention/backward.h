// What the backward passes share. With P = exp(scores - lse) and delta = rowsum(dO O) of each query:
//   dV = P^T dO    dP = dO V^T    dS = P (dP - delta)    dQ = scale dS K    dK = scale dS^T Q
// Dropout multiplies the weights by M, which is f = 1 / (1 - p) or 0: dV = (P M)^T dO, dS = P (M dP - delta). In the kernels M is 1 or 0,
// delta is divided by f, and the results are multiplied by it: once for each row, not for each weight.
// One pass sums over keys for a tile of queries (dQ), one over queries, of all heads that share the keys, for a tile of keys (dK, dV).
// Each computes the weights anew, each result has one owner: no atomics, the same bits on every run.
#pragma once
#include "problem.h"

namespace tg::attention {

template <class T> struct Gradient : Problem<T> {
    using Sum = SumOf<T>;
    Heads<const T> g, out;
    Heads<T> dq, dk, dv;
    const Sum* lse;
    Sum* delta;
    Sum kept;  // 1 - p, for delta

    // A weight, from the product of its query and key. A query that saw nothing has lse = -inf and no weights.
    __device__ __forceinline__ Sum weight(Sum product, int b, int h, int i, int j, Sum lse_of_query) const {
        const Sum s = this->score(product, b, h, i, j);
        return s == Sum(-INFINITY) ? Sum(0) : power_of_two(s - lse_of_query * Sum(LOG2E));
    }
    __device__ __forceinline__ Sum statistic(const Sum* of, int b, int h, int i) const {
        return i < this->queries ? of[this->number(b, h, i)] : Sum(0);
    }
};

template <class T>
Gradient<T> gradient_of(Array& dq, Array& dk, Array& dv, Array& workspace, const Array& g, const Array& q, const Array& k, const Array& v,
                        const Array& out, const Array& lse, const Array& mask, int64_t causal, double scale, const Draw& draw) {
    Gradient<T> p;
    static_cast<Problem<T>&>(p) = problem_of<T>(q, k, v, mask, causal, scale, draw);
    p.kept = SumOf<T>(p.factor == 0 ? 0 : 1 / draw.factor);
    p.g = Heads<const T>(g), p.out = Heads<const T>(out);
    p.dq = Heads<T>(dq), p.dk = Heads<T>(dk), p.dv = Heads<T>(dv);
    p.lse = lse.ptr<SumOf<T>>(), p.delta = workspace.ptr<SumOf<T>>();
    return p;
}

// delta of a query: a warp each.
template <class T> __global__ void __launch_bounds__(256) attention_delta(const __grid_constant__ Gradient<T> p) {
    using Sum = SumOf<T>;
    const int64_t row = int64_t(blockIdx.x) * 8 + threadIdx.x / 32, head = row / p.queries;
    if (row >= p.rows()) return;
    const int b = int(head / p.heads), h = int(head % p.heads), i = int(row % p.queries), lane = int(threadIdx.x) % 32;
    const T *g = p.g.at(b, h, i), *out = p.out.at(b, h, i);
    Sum sum = 0;
    for (int d = lane; d < p.value_width; d += 32) sum += Sum(g[d]) * Sum(out[d]);
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(~0u, sum, lanes);
    if (lane == 0) p.delta[row] = sum * p.kept;
}

template <class T> void find_delta(const Gradient<T>& p) {
    if (p.rows()) launch(attention_delta<T>, blocks((p.rows() + 7) / 8), 256, 0, current_stream, p);
}

}  // namespace tg::attention
