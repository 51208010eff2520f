// Products of groups: what a launch is given, and how a block finds its group, whose size is data.
//
// Rows are divided where B has a matrix for each group: y[i] = A[i] B[g], C (M, N). Else the inner dimension is: C[g] = A[:, group]
// B[group], C (G, M, N). (Divided columns are the rows of the transposes: the op's business.) A grid has blocks for the most tiles there
// can be, as the host does not look at where groups end: a block reads that, finds its tile's group, or nothing to do.
#pragma once
#include "../../device/element.cuh"
#include "../matmul/problem.h"

namespace tg::grouped_mm {

using device::Wide;
using matmul::ceil_div;
using matmul::Matrix;

template <class T> struct Problem {
    Matrix<const T> A, B;
    Matrix<T> C;
    int64_t b_group, c_group;  // steps from group to group
    const int* ends;           // of groups
    int groups, M, N, K;
    bool rows_divided;

    // Where group g ends, whatever was written there: never before where it began, never beyond the length.
    __device__ int end(int g, int begin, int length) const { return min(max(ends[g], begin), length); }
};

// A block's tile: its group's matrices, and the tile's first element in them.
template <class T> struct Place {
    matmul::Problem<T> p;
    int row, column;
    bool there;
};

// Behind the last group there is one more of the rows that are left: a product over nothing, whose results are zeros.
template <int ROWS, int COLUMNS, class T> __device__ Place<T> place_of_block(const Problem<T>& all) {
    const int across = ceil_div(all.N, COLUMNS);
    Place<T> place{{all.M, all.N, all.K, 1, 0, {}, all.A, all.B, all.C}, 0, int(blockIdx.x) % across * COLUMNS, false};
    matmul::Problem<T>& p = place.p;
    int tile = int(blockIdx.x) / across, begin = 0;
    if (all.rows_divided) {
        for (int g = 0; g <= all.groups && !place.there; ++g) {
            const int end = g < all.groups ? all.end(g, begin, all.M) : all.M, tiles = ceil_div(end - begin, ROWS);
            place.there = tile < tiles;
            if (place.there) {
                p.M = end - begin;
                p.K = g < all.groups ? all.K : 0;
                p.A.data += begin * p.A.down;
                p.B.data += p.K ? g * all.b_group : 0;
                p.C.data += begin * p.C.down;
            } else {
                tile -= tiles;
                begin = end;
            }
        }
    } else {
        const int tiles = ceil_div(all.M, ROWS), g = tile / tiles;
        if (g) begin = all.end(g - 1, 0, all.K);
        p.K = all.end(g, begin, all.K) - begin;
        p.A.data += begin * p.A.right;
        p.B.data += begin * p.B.down;
        p.C.data += g * all.c_group;
        tile %= tiles;
        place.there = true;
    }
    place.row = tile * ROWS;
    return place;
}

// The most tiles of ROWS x COLUMNS there can be: each group may end within one.
template <int ROWS, int COLUMNS, class T> unsigned most_tiles(const Problem<T>& p) {
    const int64_t down = p.rows_divided ? int64_t(ceil_div(p.M, ROWS)) + p.groups : int64_t(ceil_div(p.M, ROWS)) * p.groups;
    const int64_t tiles = down * ceil_div(p.N, COLUMNS);
    if (tiles > 0x7fffffff) throw std::invalid_argument("the result has more tiles than a grid has blocks");
    return unsigned(tiles);
}

template <class T> Problem<T> problem_of(const Array& out, const Array& a, const Array& b, const Array& ends) {
    const auto fits = [](const Array& x, const Array& y, int i, int j) { return x.shape[x.ndim - i] == y.shape[y.ndim - j]; };
    const bool rows = b.ndim == 3;
    if (a.ndim != 2 || b.ndim + out.ndim != 5 || ends.ndim != 1 || ends.dtype != DType::int32 || !ends.contiguous() ||
        ends.shape[0] != (rows ? b : out).shape[0] || a.dtype != out.dtype || b.dtype != out.dtype || !fits(out, a, 2, 2) ||
        !fits(out, b, 1, 1) || !fits(a, b, 1, 2))
        throw std::invalid_argument("takes A (M, K), B (K, N), C (M, N), one of B and C with groups in front, and where they end as int32");
    const auto matrix = [](auto* data, const Array& x) { return Matrix<std::remove_pointer_t<decltype(data)>>{data, x.strides[x.ndim - 2], x.strides[x.ndim - 1], {}}; };
    return {matrix(a.ptr<const T>(), a), matrix(b.ptr<const T>(), b), matrix(out.ptr<T>(), out), rows ? b.strides[0] : 0,
            rows ? 0 : out.strides[0], ends.ptr<const int>(), matmul::dimension(ends.shape[0]), matmul::dimension(a.shape[0]),
            matmul::dimension(b.shape[b.ndim - 1]), matmul::dimension(a.shape[1]), rows};
}

}  // namespace tg::grouped_mm
