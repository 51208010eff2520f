// Weighted sums along the rows and the columns of planes: average pooling, adaptive pooling and interpolation, with their gradients.
//
// All of them are y = R x C^T with sparse matrices R (HO x H) and C (WO x W) of a few entries a row; their gradients are the same
// with the matrices transposed. A matrix comes as `start` (int64, rows + 1), `from` (int64, the columns) and `weight` (float64).
// Each output row is made by adding the weighted input rows into scratch, then the weighted columns of that.
#include <vector>

#include "../core/parallel.h"
#include "../core/registry.h"

namespace tg {
namespace {

template <class T> struct Taps {
    std::vector<int64_t> start;
    std::vector<int32_t> from;
    std::vector<T> weight;
    int64_t rows = 0;
    int64_t interior = 0, interior_end = 0, count = 0, step = 0;  // rows with the same weights for `count` neighbours, moving by `step`

    Taps(const Array& s, const Array& f, const Array& w) {
        if (!s) return;
        rows = s.shape[0] - 1;
        start.assign(s.ptr<int64_t>(), s.ptr<int64_t>() + rows + 1);
        from.assign(f.ptr<int64_t>(), f.ptr<int64_t>() + f.shape[0]);
        weight.assign(w.ptr<double>(), w.ptr<double>() + w.shape[0]);
        find_interior();
    }
    explicit operator bool() const { return rows > 0; }

    int64_t entries(int64_t row) const { return start[row + 1] - start[row]; }

    // Between the edges, pooling windows are alike and move by a constant step: found once, those columns run in vectors.
    void find_interior() {
        const int64_t middle = rows / 2;
        if (rows < 4 || !entries(middle) || !entries(middle - 1)) return;
        count = entries(middle);
        step = from[start[middle]] - from[start[middle - 1]];
        auto fits = [&](int64_t row) {
            if (entries(row) != count) return false;
            for (int64_t k = 0; k < count; ++k) {
                if (from[start[row] + k] != from[start[middle]] + (row - middle) * step + k) return false;
                if (weight[start[row] + k] != weight[start[middle] + k]) return false;
            }
            return true;
        };
        if (step < 1 || !fits(middle)) return;
        for (interior = middle; interior > 0 && fits(interior - 1);) --interior;
        for (interior_end = middle + 1; interior_end < rows && fits(interior_end);) ++interior_end;
    }
};

// y[j] (+)= w * x[j * STEP]
template <int64_t STEP, class T> void add_tap(T* __restrict y, const T* __restrict x, T w, int64_t n, bool first) {
    if (first)
        for (int64_t j = 0; j < n; ++j) y[j] = w * x[j * STEP];
    else
        for (int64_t j = 0; j < n; ++j) y[j] += w * x[j * STEP];
}

template <class T> void gather_columns(T* __restrict y, const T* __restrict x, const Taps<T>& taps, int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) {
        T sum = 0;
        for (int64_t t = taps.start[j]; t < taps.start[j + 1]; ++t) sum += taps.weight[t] * x[taps.from[t]];
        y[j] = sum;
    }
}

template <class T> void combine_columns(T* y, const T* x, const Taps<T>& taps) {
    const int64_t a = taps.interior, b = taps.interior_end;
    if (b - a < 8 || taps.step > 2 || taps.count > 16) return gather_columns(y, x, taps, 0, taps.rows);
    gather_columns(y, x, taps, 0, a);
    for (int64_t k = 0; k < taps.count; ++k) {
        const T* in = x + taps.from[taps.start[a]] + k;
        const T w = taps.weight[taps.start[a] + k];
        if (taps.step == 1) add_tap<1>(y + a, in, w, b - a, k == 0);
        else add_tap<2>(y + a, in, w, b - a, k == 0);
    }
    gather_columns(y, x, taps, b, taps.rows);
}

// The sum of the input rows that make one output row; `scratch`, or the input row itself where it is the only one with weight 1.
template <class T> const T* combine_rows(T* __restrict scratch, const T* plane, int64_t W, const Taps<T>& taps, int64_t row) {
    const int64_t begin = taps.start[row], end = taps.start[row + 1];
    if (end - begin == 1 && taps.weight[begin] == T(1)) return plane + taps.from[begin] * W;
    std::fill_n(scratch, W, T(0));
    int64_t t = begin;
    for (; t + 1 < end; t += 2) {
        const T *__restrict a = plane + taps.from[t] * W, *__restrict b = plane + taps.from[t + 1] * W;
        const T wa = taps.weight[t], wb = taps.weight[t + 1];
        for (int64_t c = 0; c < W; ++c) scratch[c] += wa * a[c] + wb * b[c];
    }
    if (t < end) {
        const T* __restrict a = plane + taps.from[t] * W;
        const T wa = taps.weight[t];
        for (int64_t c = 0; c < W; ++c) scratch[c] += wa * a[c];
    }
    return scratch;
}

// y (P, HO, WO), x (P, H, W); None for `row_start` or `col_start` leaves that direction as it is.
void resample(Array& y, const Array& x, const Array& row_start, const Array& row_from, const Array& row_weight, const Array& col_start,
              const Array& col_from, const Array& col_weight) {
    const int64_t H = x.shape[1], W = x.shape[2], HO = y.shape[1], WO = y.shape[2];
    if (y.size() == 0) return;
    dispatch_float(x.dtype, "resample", [&]<class T>() {
        const Taps<T> rows(row_start, row_from, row_weight), cols(col_start, col_from, col_weight);
        parallel_ranges(x.shape[0] * HO, x.size() + y.size(), [&](int64_t begin, int64_t end) {
            std::vector<T> scratch(W);
            for (int64_t o = begin; o < end; ++o) {
                const T* plane = x.ptr<T>() + o / HO * H * W;
                T* out = y.ptr<T>() + o * WO;
                const T* line = rows ? combine_rows(cols ? scratch.data() : out, plane, W, rows, o % HO) : plane + o % HO * W;
                if (cols) combine_columns(out, line, cols);
                else if (line != out) std::copy_n(line, WO, out);
            }
        });
    });
}

TG_KERNEL(resample, "cpu/taps", "float32 float64", resample)

}  // namespace
}  // namespace tg
