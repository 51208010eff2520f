// The idea: the formula as it stands. All scores go to memory, then the softmax of each row, then the weighted sum of the values.
// Before it: nothing; this is what attention was before FlashAttention, and what the other rungs are compared with.
// Ownership: one thread per score, then one per row, then one per element of the output.
// Bottleneck: memory. L S scores are written, read twice, written again and read again; the workspace grows with them.
// Measure: python benchmarks/ladder.py attention v00_naive (emulated time)
#include <algorithm>

#include "problem.h"

namespace tg::attention {

// Rows are queries of all heads, counted through; a launch computes those from `first` on.
struct Row {
    int batch, head, query;
};
template <class T> __device__ Row row_of(const Problem<T>& p, int64_t number) {
    const int64_t head = number / p.queries;
    return {int(head / p.heads), int(head % p.heads), int(number % p.queries)};
}

template <class T, class Sum>
__global__ void __launch_bounds__(256) attention_naive_scores(const __grid_constant__ Problem<T> p, Sum* scores, int64_t first, int64_t rows) {
    const int64_t at = int64_t(blockIdx.x) * 256 + threadIdx.x;
    if (at >= rows * p.keys) return;
    const Row r = row_of(p, first + at / p.keys);
    const int key = int(at % p.keys);
    const T *q = p.q.at(r.batch, r.head, r.query), *k = p.k.at(r.batch, r.head / p.group, key);
    Sum sum = 0;
    for (int d = 0; d < p.width; ++d) sum += Sum(q[d]) * Sum(k[d]);
    scores[at] = p.score(sum, r.batch, r.head, r.query, key);
}

template <class T, class Sum>
__global__ void __launch_bounds__(256)
    attention_naive_softmax(const __grid_constant__ Problem<T> p, Sum* scores, Sum* lse, int64_t first, int64_t rows) {
    const int64_t row = int64_t(blockIdx.x) * 256 + threadIdx.x;
    if (row >= rows) return;
    Sum* s = scores + row * p.keys;
    Sum top = Sum(-INFINITY), sum = 0;
    for (int j = 0; j < p.keys; ++j) top = s[j] > top ? s[j] : top;
    const Sum base = top == Sum(-INFINITY) ? Sum(0) : top;
    for (int j = 0; j < p.keys; ++j) {
        s[j] = power_of_two(s[j] - base);
        sum += s[j];
    }
    const Sum inverse = sum == 0 ? Sum(0) : 1 / sum;  // a query that sees nothing gets zeros
    for (int j = 0; j < p.keys; ++j) s[j] *= inverse * p.factor;
    if (p.dropout.on)
        for (int j = 0; j < p.keys; j += 4) {
            const unsigned kept = p.dropout.four(first + row, j / 4);
            for (int e = 0; e < 4 && j + e < p.keys; ++e) s[j + e] = kept >> e & 1 ? s[j + e] : Sum(0);
        }
    lse[first + row] = (top + logarithm(sum)) * Sum(LN2);
}

template <class T, class Sum>
__global__ void __launch_bounds__(256)
    attention_naive_values(const __grid_constant__ Problem<T> p, Heads<T> out, const Sum* weights, int64_t first, int64_t rows) {
    const int64_t at = int64_t(blockIdx.x) * 256 + threadIdx.x;
    if (at >= rows * p.value_width) return;
    const Row r = row_of(p, first + at / p.value_width);
    const int d = int(at % p.value_width);
    const Sum* w = weights + at / p.value_width * p.keys;
    Sum sum = 0;
    for (int j = 0; j < p.keys; ++j) sum += w[j] * Sum(p.v.at(r.batch, r.head / p.group, j)[d]);
    out.at(r.batch, r.head, r.query)[d] = T(sum);
}

void naive(Array& out, Array& lse, const Array& q, const Array& k, const Array& v, const Array& mask, int64_t causal, double scale,
           int64_t seed, int64_t first_block, int64_t limit, double factor, Array& workspace) {
    const Draw draw{seed, first_block, limit, factor};
    by_dtype<float, double, __nv_bfloat16, __half>(q.dtype, [&]<class T>() {
        using Sum = SumOf<T>;
        const Problem<T> p = problem_of<T>(q, k, v, mask, causal, scale, draw);
        Sum* const scores = workspace.ptr<Sum>();
        const int64_t all = p.rows(), room = p.keys ? workspace.size() / p.keys : all;  // as many rows at a time as the workspace holds
        if (all && room == 0) throw std::invalid_argument("the workspace does not hold a row of scores");
        const auto grid = [](int64_t threads) { return dim3(blocks((threads + 255) / 256)); };
        for (int64_t first = 0; first < all; first += room) {
            const int64_t rows = std::min(room, all - first);
            if (p.keys) launch(attention_naive_scores<T, Sum>, grid(rows * p.keys), 256, 0, current_stream, p, scores, first, rows);
            launch(attention_naive_softmax<T, Sum>, grid(rows), 256, 0, current_stream, p, scores, lse.ptr<Sum>(), first, rows);
            if (!p.value_width) continue;
            launch(attention_naive_values<T, Sum>, grid(rows * p.value_width), 256, 0, current_stream, p, Heads<T>(out),
                   static_cast<const Sum*>(scores), first, rows);
        }
    });
}

TG_KERNEL(attention, "cuda/v00_naive", "float32 float64 bfloat16 float16", naive)

}  // namespace tg::attention
