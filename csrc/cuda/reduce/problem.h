// What every rung is given: x with some dimensions to be reduced, any strides; y of the same number of dimensions, dense, 1 where reduced.
#pragma once
#include "../pointwise/integers.h"

namespace tg::reduce {

using pointwise::Computed;

constexpr int WORKSPACE = 4096;  // partial results that the caller's workspace holds, 16 bytes each
constexpr int64_t MOST = int64_t(1) << 31;

// Places of elements along some dimensions, numbered in row-major order, neighbouring ones merged.
struct Walk {
    int ndim;
    unsigned count;
    unsigned shape[MAX_DIMS];
    int64_t step[MAX_DIMS];

    __host__ __device__ int64_t place(unsigned i) const {
        int64_t at = 0;
        for (int d = ndim - 1; d > 0; --d) {
            at += i % shape[d] * step[d];
            i /= shape[d];
        }
        return ndim ? at + i * step[0] : 0;
    }
    bool dense() const { return count <= 1 || (ndim == 1 && step[0] == 1); }
};

// Result `o` is made of the elements x[outer.place(o) + inner.place(i)].
struct Problem {
    Walk outer, inner;
    const char* x;
    char* y;
    int64_t* index;   // where an extremum was; or none
    char* workspace;  // or none
    bool divide, root;  // sum: divide by the number; squared deviations: take the root
    double number;      // the divisor of a mean or a variance
};

inline Problem problem_of(const Array& y, const Array& x, const Array& workspace) {
    if (y.ndim != x.ndim) throw std::invalid_argument("the result must have as many dimensions as the operand, 1 where reduced");
    Problem p{};
    p.x = x.ptr<char>();
    p.y = y.ptr<char>();
    p.workspace = workspace ? workspace.ptr<char>() : nullptr;
    int64_t counts[2] = {1, 1};
    for (int d = 0; d < x.ndim; ++d) {
        const int64_t n = x.shape[d];
        const bool reduced = y.shape[d] != n;
        Walk& w = reduced ? p.inner : p.outer;
        counts[reduced] *= n;
        if (n == 1) continue;
        if (w.ndim && w.step[w.ndim - 1] == x.strides[d] * n) {
            w.step[w.ndim - 1] = x.strides[d];
            w.shape[w.ndim - 1] *= unsigned(n);
        } else {
            w.shape[w.ndim] = unsigned(n);
            w.step[w.ndim++] = x.strides[d];
        }
    }
    if (counts[0] >= MOST || counts[1] >= MOST)
        throw std::invalid_argument("more than 2^31 results, or elements of one result, are not supported; reduce in two steps");
    p.outer.count = unsigned(counts[0]);
    p.inner.count = unsigned(counts[1]);
    return p;
}

__host__ __device__ inline unsigned ceil_div(unsigned a, unsigned b) { return a / b + (a % b != 0); }

}  // namespace tg::reduce
