// embedding and embedding_bag: rows of a table picked and added up, and the way back.
//
// Both directions are one sparse product, out[to[p]] += scale[p] * table[from[p]] over entries p; the gradient swaps `to` and
// `from`. Entries are first sorted by `to` (counting sort, stable), so that each output row is written once, by one thread, its
// terms added in the order of the entries: no atomics, the same sums for any thread count.
#include <cstring>
#include <vector>

#include "../core/parallel.h"
#include "../core/registry.h"

namespace tg {
namespace {

// y (n, D): y[p] = table[index[p]], of any floating type
void embedding(Array& y, const Array& table, const Array& index) {
    const int64_t item = table.dtype == DType::float64 ? 8 : table.dtype == DType::float32 ? 4 : 2, row = y.shape[1] * item;
    parallel_ranges(y.shape[0], y.size(), [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p)
            std::memcpy(y.ptr<char>() + p * row, table.ptr<char>() + index.ptr<int64_t>()[p] * row, size_t(row));
    });
}

// first (rows + 1) and order (n), int64 workspaces: entries with to == r are order[first[r]] to order[first[r + 1]].
void sort_entries(int64_t* first, int64_t* order, const int64_t* to, int64_t n, int64_t rows) {
    std::fill_n(first, rows + 1, int64_t(0));
    for (int64_t p = 0; p < n; ++p) ++first[to[p] + 1];
    for (int64_t r = 0; r < rows; ++r) first[r + 1] += first[r];
    for (int64_t p = 0; p < n; ++p) order[first[to[p]]++] = p;
    for (int64_t r = rows; r > 0; --r) first[r] = first[r - 1];
    first[0] = 0;
}

constexpr int64_t FLUSH = 64;  // terms added in T before they go into the double sums

// out (R, D); first, order: workspaces; table (any, D); from, to (n) int64, `from` None for 0, 1, 2, ...; scale (n) or None.
void add_rows(Array& out, Array& first, Array& order, const Array& table, const Array& from, const Array& to, const Array& scale) {
    const int64_t R = out.shape[0], D = out.shape[1], n = to.shape[0];
    const int64_t *start = first.ptr<int64_t>(), *entry = order.ptr<int64_t>();
    sort_entries(first.ptr<int64_t>(), order.ptr<int64_t>(), to.ptr<int64_t>(), n, R);
    dispatch_float(table.dtype, "add_rows", [&]<class T>() {
        parallel_ranges(R, out.size() + n * D, [&](int64_t begin, int64_t end) {
            std::vector<double> sums(D);
            for (int64_t r = begin; r < end; ++r) {
                T* __restrict y = out.ptr<T>() + r * D;
                std::fill_n(y, D, T(0));
                bool flushed = false;
                for (int64_t k = start[r]; k < start[r + 1]; ++k) {
                    const int64_t p = entry[k];
                    const T* __restrict row = table.ptr<T>() + (from ? from.ptr<int64_t>()[p] : p) * D;
                    const T s = scale ? scale.ptr<T>()[p] : T(1);
                    for (int64_t i = 0; i < D; ++i) y[i] += s * row[i];
                    if ((k - start[r]) % FLUSH != FLUSH - 1) continue;
                    if (!flushed) std::fill(sums.begin(), sums.end(), 0.0);
                    flushed = true;
                    for (int64_t i = 0; i < D; ++i) sums[i] += double(y[i]), y[i] = 0;
                }
                for (int64_t i = 0; flushed && i < D; ++i) y[i] = T(sums[i] + double(y[i]));
            }
        });
    });
}

// out (n): out[p] = sum over i of a[ia[p], i] * b[ib[p], i]
void row_dots(Array& out, const Array& a, const Array& b, const Array& ia, const Array& ib) {
    const int64_t n = out.shape[0], D = a.shape[1];
    dispatch_float(a.dtype, "row_dots", [&]<class T>() {
        parallel_ranges(n, 2 * n * D, [&](int64_t begin, int64_t end) {
            for (int64_t p = begin; p < end; ++p) {
                const T *x = a.ptr<T>() + ia.ptr<int64_t>()[p] * D, *y = b.ptr<T>() + ib.ptr<int64_t>()[p] * D;
                double sum = 0;
#pragma omp simd reduction(+ : sum)
                for (int64_t i = 0; i < D; ++i) sum += double(x[i]) * double(y[i]);
                out.ptr<T>()[p] = T(sum);
            }
        });
    });
}

// For bag r, entries with to == r: y[r, i] = the largest table[from[p], i], at[r, i] that row; an empty bag gives 0 and -1.
void bag_max(Array& y, Array& at, Array& first, Array& order, const Array& table, const Array& from, const Array& to) {
    const int64_t R = y.shape[0], D = y.shape[1];
    const int64_t *start = first.ptr<int64_t>(), *entry = order.ptr<int64_t>();
    sort_entries(first.ptr<int64_t>(), order.ptr<int64_t>(), to.ptr<int64_t>(), to.shape[0], R);
    dispatch_float(table.dtype, "bag_max", [&]<class T>() {
        parallel_ranges(R, y.size() + to.shape[0] * D, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
                T* best = y.ptr<T>() + r * D;
                int64_t* place = at.ptr<int64_t>() + r * D;
                std::fill_n(best, D, T(0));
                std::fill_n(place, D, int64_t(-1));
                for (int64_t k = start[r]; k < start[r + 1]; ++k) {
                    const int64_t source = from.ptr<int64_t>()[entry[k]];
                    const T* row = table.ptr<T>() + source * D;
                    for (int64_t i = 0; i < D; ++i)
                        if (place[i] < 0 || row[i] > best[i] || (row[i] != row[i] && best[i] == best[i])) best[i] = row[i], place[i] = source;
                }
            }
        });
    });
}

TG_KERNEL(embedding, "cpu/copy", "float32 float64 float16 bfloat16", embedding)
TG_KERNEL(add_rows, "cpu/sorted", "float32 float64", add_rows)
TG_KERNEL(row_dots, "cpu/rows", "float32 float64", row_dots)
TG_KERNEL(bag_max, "cpu/sorted", "float32 float64", bag_max)

}  // namespace
}  // namespace tg
