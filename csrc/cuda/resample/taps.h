// What the rungs share: the sparse matrices. y = R x C^T for each plane, with a few entries in each row of R and C.
#pragma once
#include "../pooling/windows.h"

namespace tg::resampling {

using namespace pooling;
using matmul::ceil_div;

// A sparse matrix by rows; without arrays it is the identity.
struct Taps {
    const int64_t *start, *source;
    const double* weights;

    Taps(const Array& s, const Array& f, const Array& w) : start(s.ptr<int64_t>()), source(f.ptr<int64_t>()), weights(w.ptr<double>()) {}
    __device__ int begin(int i) const { return start ? int(start[i]) : i; }
    __device__ int end(int i) const { return start ? int(start[i + 1]) : i + 1; }
    __device__ int from(int k) const { return start ? int(source[k]) : k; }
    __device__ double weight(int k) const { return start ? weights[k] : 1.0; }
};

// Element (i, j) of R x C^T, where pixel(h, w) is an element of x.
template <class S, class F> __device__ S weighted_sum(const Taps& rows, const Taps& columns, int i, int j, F&& pixel) {
    S sum = 0;
    for (int a = rows.begin(i); a < rows.end(i); ++a) {
        S of_row = 0;
        for (int b = columns.begin(j); b < columns.end(j); ++b) of_row += S(columns.weight(b)) * pixel(rows.from(a), columns.from(b));
        sum += S(rows.weight(a)) * of_row;
    }
    return sum;
}

}  // namespace tg::resampling
