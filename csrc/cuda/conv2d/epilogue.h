// What a production rung does with a sum on its way to the output: act(scale (sum + bias) + shift + residual), in fp32, rounded once.
// Scale and shift are what batch normalisation comes to when its statistics are fixed.
#pragma once
#include "../matmul/epilogue.h"
#include "problem.h"

namespace tg::conv2d {

template <class T> struct Numbers {  // one for each row of all groups, in T or in fp32, or none
    const T* narrow = nullptr;
    const float* wide = nullptr;

    Numbers() = default;
    Numbers(const Array& a, const Array& y) {
        if (!a) return;
        if (a.ndim != 1 || a.shape[0] != y.shape[1] || !a.contiguous() || (a.dtype != DTYPE<T> && a.dtype != DType::float32))
            throw std::invalid_argument("scale and shift must be contiguous, a number for each channel, in the output's dtype or float32");
        if (a.dtype == DType::float32) wide = a.ptr<float>();
        else narrow = a.ptr<T>();
    }
    __device__ float at(int row, float missing) const { return wide ? wide[row] : narrow ? float(narrow[row]) : missing; }
};

template <class T> struct Epilogue {
    Numbers<T> scale, shift;
    Strided<T> residual{};  // (N, rows, y.grid, x.grid), or no data
    matmul::Activation activation = matmul::Activation::none;

    Epilogue() = default;
    Epilogue(const Array& y, const Array& scale, const Array& shift, const Array& added, int64_t activation, int64_t groups)
        : scale(scale, y), shift(shift, y), activation(matmul::Activation(activation)) {
        if (activation < 0 || activation >= matmul::ACTIVATIONS)
            throw std::invalid_argument("there is no activation number " + std::to_string(activation));
        if (!added) return;
        if (added.dtype != y.dtype || added.ndim != 4 || !std::equal(y.shape, y.shape + 4, added.shape))
            throw std::invalid_argument("the residual must have the output's shape and dtype");
        residual = strided<T>(added, y.shape[1] / groups * added.strides[1]);
    }

    struct Place {  // of a row and a pixel; no output: outside
        T* output;
        const T* residual;
    };
    __device__ Place place(const Problem<T>& p, int group, int row, const typename Problem<T>::Pixel& at) const {
        return {p.output.at(at.n, row, at.y, at.x), residual.data ? residual.at(at.n, row, at.y, at.x) + group * residual.group : nullptr};
    }

    struct Row {
        float bias, scale, shift;
    };
    __device__ Row of_row(const Problem<T>& p, int group, int row) const {  // p: of that group
        const int number = group * p.rows + row;
        return {p.bias ? float(p.bias[row]) : 0.0f, scale.at(number, 1), shift.at(number, 0)};
    }
    __device__ T operator()(float sum, const Row& r, float added) const {
        return T(matmul::activate((sum + r.bias) * r.scale + r.shift + added, activation));
    }
};

}  // namespace tg::conv2d
