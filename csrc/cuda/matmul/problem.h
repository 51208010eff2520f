// What every rung of the ladder is given: C = A B, with A (M, K), B (K, N), C (M, N), any strides, any number of batches.
#pragma once
#include <stdexcept>
#include <string>
#include <type_traits>

#include "../../core/dtype_names.h"
#include "../../core/registry.h"
#include "../../gpu.h"

namespace tg::matmul {

constexpr int MAX_BATCH_DIMS = 4;

// A matrix in memory: element (row, column) lies at data[row * down + column * right].
template <class T> struct Matrix {
    T* data;
    int64_t down, right;
    int64_t batch[MAX_BATCH_DIMS];  // strides of the batch dimensions, 0 where it is broadcast

    __host__ __device__ __forceinline__ T& operator()(int64_t row, int64_t column) const { return data[row * down + column * right]; }
    __host__ __device__ Matrix transposed() const {
        Matrix m = *this;
        m.down = right;
        m.right = down;
        return m;
    }
};

template <class T> struct Problem {
    int M, N, K;
    int batches;                 // of this launch
    int first;                   // the number of the first one
    int shape[MAX_BATCH_DIMS];   // of all batches, slowest first, filled up with ones in front
    Matrix<const T> A, B;
    Matrix<T> C;

    // The same problem for one batch: the matrices it multiplies.
    __host__ __device__ Problem of_batch(int number) const {
        Problem p = *this;
        number += first;
        for (int d = MAX_BATCH_DIMS - 1; d >= 0; --d) {
            const int i = number % shape[d];
            number /= shape[d];
            p.A.data += i * A.batch[d];
            p.B.data += i * B.batch[d];
            p.C.data += i * C.batch[d];
        }
        return p;
    }
};

inline int dimension(int64_t n) {
    if (n > 1 << 30) throw std::invalid_argument("a dimension of " + std::to_string(n) + " is beyond 2^30");
    return int(n);
}

template <class T> Matrix<T> matrix(const Array& a, const Array& out) {
    const int n = a.ndim;
    Matrix<T> m{a.ptr<T>(), a.strides[n - 2], a.strides[n - 1], {}};
    for (int d = 0; d < MAX_BATCH_DIMS; ++d) {
        const int i = n - 2 - MAX_BATCH_DIMS + d, o = out.ndim - 2 - MAX_BATCH_DIMS + d;  // aligned at the last dimension
        m.batch[d] = i >= 0 && a.shape[i] == out.shape[o] && a.shape[i] != 1 ? a.strides[i] : 0;
    }
    return m;
}

template <class T> constexpr DType DTYPE = std::is_same_v<T, double>          ? DType::float64
                                           : std::is_same_v<T, float>         ? DType::float32
                                           : std::is_same_v<T, __nv_bfloat16> ? DType::bfloat16
                                                                              : DType::float16;

inline void check_operands(const Array& out, const Array& a, const Array& b, DType dtype) {
    for (const Array* x : {&out, &a, &b}) {
        if (x->dtype != dtype) throw std::invalid_argument(std::string("computes ") + name_of(dtype) + ", not " + name_of(x->dtype));
        if (x->ndim < 2) throw std::invalid_argument("multiplies matrices, not vectors");
    }
    const auto end = [](const Array& x, int d) { return x.shape[x.ndim - d]; };
    if (end(a, 2) != end(out, 2) || end(b, 1) != end(out, 1) || end(a, 1) != end(b, 2))
        throw std::invalid_argument("the last two dimensions of the operands and the result do not fit each other");
}

// Calls `solve(problem)` for the batches of a product, as many at a time as a grid has layers. No call where C is empty.
template <class T, class F> void for_batches(Array& out, const Array& a, const Array& b, F&& solve) {
    check_operands(out, a, b, DTYPE<T>);
    if (out.ndim - 2 > MAX_BATCH_DIMS)
        throw std::invalid_argument(std::to_string(out.ndim - 2) + " batch dimensions are more than " + std::to_string(MAX_BATCH_DIMS) +
                                    "; reshape the operands first");
    Problem<T> p{};
    p.M = dimension(out.shape[out.ndim - 2]);
    p.N = dimension(out.shape[out.ndim - 1]);
    p.K = dimension(a.shape[a.ndim - 1]);
    p.A = matrix<const T>(a, out);
    p.B = matrix<const T>(b, out);
    p.C = matrix<T>(out, out);
    int64_t batches = 1;
    for (int d = 0; d < MAX_BATCH_DIMS; ++d) {
        const int i = out.ndim - 2 - MAX_BATCH_DIMS + d;
        p.shape[d] = i >= 0 ? dimension(out.shape[i]) : 1;
        batches *= p.shape[d];
    }
    if (out.size() == 0) return;
    constexpr int64_t LAYERS = 65535;
    for (int64_t first = 0; first < batches; first += LAYERS) {
        p.first = dimension(first);
        p.batches = int(batches - first < LAYERS ? batches - first : LAYERS);
        solve(p);
    }
}

// The same for the dtypes a rung is made for: `by_dtype<float, double>(out, a, b, solve)`.
template <class... T, class F> void by_dtype(Array& out, const Array& a, const Array& b, F&& solve) {
    if (((out.dtype == DTYPE<T> ? (for_batches<T>(out, a, b, solve), true) : false) || ...)) return;
    std::string names;
    ((names += (names.empty() ? "" : ", ") + std::string(name_of(DTYPE<T>))), ...);
    throw std::invalid_argument("computes " + names + ", not " + name_of(out.dtype));
}

__host__ __device__ constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

// Tiles of C are numbered along its rows; a block's number is its tile. Only grid.x is large enough for every shape.
struct Tile {
    int row, column;  // of the tile's first element
};
template <int ROWS, int COLUMNS, class T> dim3 grid_of_tiles(const Problem<T>& p) {
    const int64_t tiles = int64_t(ceil_div(p.M, ROWS)) * ceil_div(p.N, COLUMNS);
    if (tiles > 0x7fffffff) throw std::invalid_argument("the result has more tiles than a grid has blocks");
    return dim3(unsigned(tiles), 1, unsigned(p.batches));
}
template <int ROWS, int COLUMNS, class T> __device__ Tile tile_of_block(const Problem<T>& p) {
    const int across = ceil_div(p.N, COLUMNS);
    return {int(blockIdx.x) / across * ROWS, int(blockIdx.x) % across * COLUMNS};
}

}  // namespace tg::matmul
