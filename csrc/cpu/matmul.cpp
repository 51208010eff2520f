// matmul, rung cpu/packed: C = A B by panels.
//
// Three loops cut the product into blocks (NC columns, KC deep, MC rows) whose packed copies fit the caches; all threads pack a block
// together, then share out its tiles. Each element of C is summed in the same order whatever the number of threads.
#include "../core/registry.h"
#include "gemm.h"

namespace tg {
namespace {

using namespace gemm;

constexpr int64_t KC = 384, MC = 1536, NC_VECTORS = 3 * 64;  // A block up to 2.4 MB, B block up to 4.7 MB (float32)
constexpr int64_t TASK_ROWS = 96, TASK_PANELS = 6;           // one task: its part of B (6 panels, 440 KB) stays in the second cache level
constexpr int64_t DIRECT = 1 << 13;                          // elements of B that stay in the first cache level: read where they lie
constexpr int64_t PARALLEL_FROM = 1 << 23;                   // multiply-adds; below, waking threads costs more than it gives

template <class T> struct Matrix {
    const T* data;
    int64_t rs, cs;
};

template <class T> void multiply(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, T* c, int64_t ldc, bool team) {
    if (k == 0)
        for (int64_t i = 0; i < m; ++i) std::fill_n(c + i * ldc, n, T(0));
    const int64_t nc_most = std::min<int64_t>(NC_VECTORS * LANES<T>, up(n, NR<T>));
    const int64_t depth = ceil_div(k, std::max<int64_t>(1, ceil_div(k, KC)));  // equal blocks rather than a thin last one
    const int64_t ldb = b.cs == 1 && n % LANES<T> == 0 && n * k <= DIRECT ? b.rs : 0;
    T* pa = scratch<T>(0, std::min(MC, up(m, MR)) * depth);
    T* pb = scratch<T>(1, ldb ? 0 : nc_most * depth);
    auto work = [&] {
        for (int64_t jc = 0; jc < n; jc += nc_most)
            for (int64_t pc = 0; pc < k; pc += depth)
                for (int64_t ic = 0; ic < m; ic += MC) {
                    const int64_t nc = std::min(nc_most, n - jc), kc = std::min(depth, k - pc), mc = std::min(MC, m - ic);
                    const int64_t b_tasks = ic == 0 && !ldb ? ceil_div(nc, NR<T>) : 0, a_tasks = ceil_div(mc, TASK_ROWS);
                    each(team, b_tasks + a_tasks, [&](int64_t t) {
                        if (t < b_tasks) {
                            const int64_t j = t * NR<T>, columns = std::min<int64_t>(NR<T>, nc - j);
                            pack<T, NR<T>>(b.data + pc * b.rs + (jc + j) * b.cs, b.cs, b.rs, columns, kc, pb + j * kc);
                        } else {
                            const int64_t i = (t - b_tasks) * TASK_ROWS, rows = std::min(TASK_ROWS, mc - i);
                            pack<T, MR>(a.data + (ic + i) * a.rs + pc * a.cs, a.rs, a.cs, rows, kc, pa + i * kc);
                        }
                    });
                    const int64_t wide = TASK_PANELS * NR<T>, row_tasks = ceil_div(mc, TASK_ROWS);
                    each(team, row_tasks * ceil_div(nc, wide), [&](int64_t t) {
                        const int64_t i = t % row_tasks * TASK_ROWS, j = t / row_tasks * wide;
                        const T* panels = ldb ? b.data + pc * b.rs + jc + j : pb + j * kc;
                        block<T>(std::min(TASK_ROWS, mc - i), std::min(wide, nc - j), kc, pa + i * kc, panels,
                                 c + (ic + i) * ldc + jc + j, ldc, pc == 0 ? Start::zero : Start::add, ldb);
                    });
                }
    };
    if (team) {
#pragma omp parallel
        work();
    } else {
        work();
    }
}

// out[i] = sum over p of a[i, p] x[p]. Rows that lie contiguous become dot products; else columns are added up, whole vectors of rows
// at a time, for KC columns before the sums go to memory.
template <class T> void multiply_vector(int64_t rows, int64_t k, Matrix<T> a, const T* x, int64_t xs, T* out, int64_t os) {
    using Vec = Vector<T>;
    constexpr int W = LANES<T>, U = 4;
    const bool by_rows = a.cs == 1 && xs == 1, by_columns = a.rs == 1 && os == 1;
    for (int64_t i = 0; i < rows;) {
        if (by_columns && i + W * U <= rows) {
            for (int64_t pc = 0; pc == 0 || pc < k; pc += KC) {
                Vec acc[U] = {};
                for (int64_t p = pc; p < std::min(k, pc + KC); ++p)
                    for (int u = 0; u < U; ++u) acc[u] += *reinterpret_cast<const Vec*>(a.data + i + u * W + p * a.cs) * x[p * xs];
                for (int u = 0; u < U; ++u) {
                    Vec* to = reinterpret_cast<Vec*>(out + i + u * W);
                    *to = pc ? *to + acc[u] : acc[u];
                }
            }
            i += W * U;
            continue;
        }
        const T* row = a.data + i * a.rs;
        Vec acc[U] = {};
        int64_t p = 0;
        if (by_rows)
            for (; p + W * U <= k; p += W * U)
                for (int u = 0; u < U; ++u)
                    acc[u] += *reinterpret_cast<const Vec*>(row + p + u * W) * *reinterpret_cast<const Vec*>(x + p + u * W);
        T sum = 0, block = 0;
        for (; p < k; ++p) {
            block += row[p * a.cs] * x[p * xs];
            if (p % 64 == 63) sum += block, block = 0;
        }
        acc[0] += acc[1] + (acc[2] + acc[3]);
        for (int j = 0; j < W; ++j) sum += acc[0][j];
        out[i++ * os] = sum + block;
    }
}

// The offset of batch `index` (counted over the batch dimensions of `out`) in x, whose missing and single dimensions repeat.
int64_t batch_offset(int64_t index, const Array& out, const Array& x) {
    int64_t offset = 0;
    for (int d = out.ndim - 3; d >= 0; --d) {
        const int64_t at = index % out.shape[d];
        index /= out.shape[d];
        const int e = d - (out.ndim - x.ndim);
        if (e >= 0 && x.shape[e] != 1) offset += at * x.strides[e];
    }
    return offset;
}

void matmul_packed(Array& out, const Array& x, const Array& y) {
    dispatch_float(out.dtype, "matmul", [&]<class T>() {
        const int od = out.ndim, xd = x.ndim, yd = y.ndim;
        const int64_t m = out.shape[od - 2], n = out.shape[od - 1], k = x.shape[xd - 1];
        if (out.size() == 0) return;
        if (out.strides[od - 1] != 1 && n > 1) throw std::invalid_argument("the rows of the result must be contiguous");
        const int64_t batches = out.size() / (m * n);
        const bool large = m > 1 && n > 1 && m * n * k >= PARALLEL_FROM && omp_get_max_threads() > 1;
#pragma omp parallel for schedule(dynamic) if (!large && batches > 1 && batches * m * n * k >= PARALLEL_FROM)
        for (int64_t i = 0; i < batches; ++i) {
            const Matrix<T> a{x.ptr<T>() + batch_offset(i, out, x), x.strides[xd - 2], x.strides[xd - 1]};
            const Matrix<T> b{y.ptr<T>() + batch_offset(i, out, y), y.strides[yd - 2], y.strides[yd - 1]};
            T* c = out.ptr<T>() + batch_offset(i, out, out);
            if (n == 1) multiply_vector<T>(m, k, a, b.data, b.rs, c, out.strides[od - 2]);
            else if (m == 1) multiply_vector<T>(n, k, {b.data, b.cs, b.rs}, a.data, a.cs, c, 1);
            else multiply<T>(m, n, k, a, b, c, out.strides[od - 2], large);
        }
    });
}

TG_KERNEL(matmul, "cpu/packed", "float32 float64", matmul_packed)

}  // namespace
}  // namespace tg
