// Attention whose keys are shared among blocks: what each part leaves, and how the parts are merged.
#pragma once
#include "problem.h"

namespace tg::attention {

constexpr int MERGE_THREADS = 128;

// What a part leaves for each row: `width` sums of values that belong to weights 2^(score - top), then top and the sum of the weights.
struct Parts {
    float* data;
    int count, width;
    int64_t rows;
    __device__ float* at(int part, int64_t row) const { return data + (part * rows + row) * (width + 2); }
};

// A block a query: the parts are added in the order of their keys.
template <class T>
__global__ void __launch_bounds__(MERGE_THREADS) attention_merge(const __grid_constant__ Problem<T> p, Heads<T> out, float* lse,
                                                                   Parts parts) {
    const int64_t row = blockIdx.x, head = row / p.queries;
    float top = -INFINITY, sum = 0;
    for (int part = 0; part < parts.count; ++part) top = fmaxf(top, parts.at(part, row)[p.value_width]);
    const float base = top == -INFINITY ? 0.0f : top;
    for (int part = 0; part < parts.count; ++part)
        sum += parts.at(part, row)[p.value_width + 1] * power_of_two(parts.at(part, row)[p.value_width] - base);
    const float inverse = sum == 0 ? 0.0f : 1 / sum;  // a query that sees nothing gets zeros
    if (threadIdx.x == 0) lse[row] = (top + logarithm(sum)) * float(LN2);
    T* const to = out.at(int(head / p.heads), int(head % p.heads), int(row % p.queries));
    for (int d = int(threadIdx.x); d < p.value_width; d += MERGE_THREADS) {
        float x = 0;
        for (int part = 0; part < parts.count; ++part)
            x += parts.at(part, row)[d] * power_of_two(parts.at(part, row)[p.value_width] - base);
        to[d] = T(x * inverse);
    }
}

}  // namespace tg::attention
