// What a production rung does with a sum on its way to the output: act(scale (sum + bias) + shift + residual), in fp32, rounded once.
// Scale and shift are what batch normalisation comes to when its statistics are fixed.
#pragma once
#include "../matmul/epilogue.h"
#include "problem.h"

namespace tg::conv2d {

template <class T> struct Epilogue {
    const float *scale, *shift;  // a number per row of all groups, or none
    Strided<T> residual;         // (N, rows, y.grid, x.grid), or no data
    matmul::Activation activation;

    __host__ __device__ Epilogue of_group(int g, int rows) const {
        Epilogue e = *this;
        if (scale) e.scale += int64_t(g) * rows;
        if (shift) e.shift += int64_t(g) * rows;
        if (residual.data) e.residual.data += g * residual.group;
        return e;
    }

    struct Row {
        float bias, scale, shift;
    };
    __device__ Row of_row(const Problem<T>& p, int row) const {
        return {p.bias ? float(p.bias[row]) : 0.0f, scale ? scale[row] : 1.0f, shift ? shift[row] : 0.0f};
    }
    __device__ T operator()(float sum, const Row& r, float residual) const {
        return T(matmul::activate((sum + r.bias) * r.scale + r.shift + residual, activation));
    }
};

}  // namespace tg::conv2d
