// What batch_norm and group_norm share, of planes and of rows.
#pragma once
#include "../core/array.h"
#include "moments.h"

namespace tg {

template <class T> inline double value_or(const Array& a, int64_t i, double otherwise) { return a ? double(a.ptr<T>()[i]) : otherwise; }

// dweight and dbias of group_norm, each may be None, from `sums` (2, N, C) of each sample.
template <class T> inline void add_samples(Array& dweight, Array& dbias, const Array& sums) {
    const int64_t N = sums.shape[1], C = sums.shape[2];
    for (int64_t c = 0; c < C; ++c)
        for (int k = 0; k < 2; ++k) {
            Array& out = k ? dbias : dweight;
            double sum = 0;
            for (int64_t b = 0; out && b < N; ++b) sum += sums.ptr<double>()[(k * N + b) * C + c];
            if (out) out.ptr<T>()[c] = T(sum);
        }
}

}  // namespace tg
