// The gradient of the weight sums over all pixels of the batch, while the result is small: too few tiles for a GPU. So the sum is cut
// into parts, computed side by side into the workspace in fp32, and a second pass adds them up in order: the same bits every time.
#pragma once
#include "problem.h"

namespace tg::conv2d {

struct Parts {
    int count, span;  // how many, and pixels in one

    // Depends on the shapes and the workspace only.
    Parts(int pixels, int64_t tiles, int64_t size, int64_t room, int step, int least_pixels = 512) {
        constexpr int64_t ENOUGH_BLOCKS = 512, MOST = 64;
        const int64_t wanted = std::min({ENOUGH_BLOCKS / std::max<int64_t>(tiles, 1), int64_t(pixels / least_pixels), MOST});
        count = int(std::max<int64_t>(1, std::min(wanted, room / std::max<int64_t>(size, 1))));
        span = ceil_div(ceil_div(pixels, count), step) * step;
    }
};

// dw[t] = the sum of parts[., t]; thread t owns element t.
template <class T> __global__ void sum_parts(T* dw, const Sum<T>* parts, int count, int64_t size) {
    const int64_t thread = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= size) return;
    Sum<T> sum = 0;
    for (int part = 0; part < count; ++part) sum += parts[part * size + thread];
    dw[thread] = T(sum);
}

inline void check_contiguous(const Array& dw) {
    if (!dw.contiguous()) throw std::invalid_argument("the gradient of the weight must be contiguous");
}

}  // namespace tg::conv2d
