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
    std::vector<char> repeats;  // row i holds the same entries as row i - 1
    bool picks = true;          // every row is one entry of weight 1
    int64_t rows = 0;
    // Rows [periodic, periodic_end) repeat with this period: row i + period has the entries of row i, `step` columns further.
    int64_t periodic = 0, periodic_end = 0, period = 0, step = 0;

    Taps(const Array& s, const Array& f, const Array& w) {
        if (!s) return;
        rows = s.shape[0] - 1;
        start.assign(s.ptr<int64_t>(), s.ptr<int64_t>() + rows + 1);
        from.assign(f.ptr<int64_t>(), f.ptr<int64_t>() + f.shape[0]);
        weight.assign(w.ptr<double>(), w.ptr<double>() + w.shape[0]);
        for (int64_t i = 0; i < rows; ++i) picks = picks && start[i] == i && start[i + 1] == i + 1 && weight[i] == T(1);
        repeats.resize(rows);
        for (int64_t i = 1; i < rows; ++i) repeats[i] = alike(i, i - 1, 0);
        for (int64_t p = 1; p <= 8 && !find_periodic(p);) ++p;
    }
    explicit operator bool() const { return rows > 0; }

    int64_t entries(int64_t row) const { return start[row + 1] - start[row]; }

    bool alike(int64_t a, int64_t b, int64_t shift) const {
        if (entries(a) != entries(b)) return false;
        for (int64_t k = 0; k < entries(a); ++k)
            if (from[start[a] + k] != from[start[b] + k] + shift || weight[start[a] + k] != weight[start[b] + k]) return false;
        return true;
    }

    // Away from the edges, windows are alike and move by a constant step: found once, those columns run in vectors.
    bool find_periodic(int64_t p) {
        const int64_t middle = (rows - p) / 2;
        if (rows < 8 || rows < 3 * p || !entries(middle) || !entries(middle + p)) return false;
        step = from[start[middle + p]] - from[start[middle]];
        if (step < 0 || step > 2) return false;
        int64_t a = middle, b = middle;  // rows a to b - 1 are like those a period later
        while (a > 0 && alike(a - 1 + p, a - 1, step)) --a;
        while (b + p < rows && alike(b + p, b, step)) ++b;
        if (b - a < rows / 2) return false;
        period = p;
        periodic = a;
        periodic_end = a + (b + p - a) / p * p;
        return true;
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
    const T* __restrict w = taps.weight.data();
    const int32_t* __restrict from = taps.from.data();
    if (taps.picks) {
        for (int64_t j = begin; j < end; ++j) y[j] = x[from[j]];
        return;
    }
    for (int64_t j = begin; j < end; ++j) {
        int64_t t = taps.start[j];
        const int64_t last = taps.start[j + 1];
        if (last - t == 2) {  // most of a linear interpolation
            y[j] = w[t] * x[from[t]] + w[t + 1] * x[from[t + 1]];
            continue;
        }
        T sum = 0;
        for (; t < last; ++t) sum += w[t] * x[from[t]];
        y[j] = sum;
    }
}

// The columns of one output row; `scratch` holds as many elements as the row.
template <class T> void combine_columns(T* __restrict y, const T* x, const Taps<T>& taps, T* __restrict scratch) {
    const int64_t a = taps.periodic, b = taps.periodic_end, P = taps.period;
    if (!P) return gather_columns(y, x, taps, 0, taps.rows);
    gather_columns(y, x, taps, 0, a);
    gather_columns(y, x, taps, b, taps.rows);
    const int64_t n = (b - a) / P;
    for (int64_t r = 0; r < P; ++r) {  // every P-th column has the same weights
        T* phase = P == 1 ? y + a : scratch + r * n;
        if (!taps.entries(a + r)) std::fill_n(phase, n, T(0));
        for (int64_t t = taps.start[a + r]; t < taps.start[a + r + 1]; ++t) {
            const bool first = t == taps.start[a + r];
            if (taps.step == 0) add_tap<0>(phase, x + taps.from[t], taps.weight[t], n, first);
            else if (taps.step == 1) add_tap<1>(phase, x + taps.from[t], taps.weight[t], n, first);
            else add_tap<2>(phase, x + taps.from[t], taps.weight[t], n, first);
        }
    }
    if (P == 2)
        for (int64_t q = 0; q < n; ++q) {
            y[a + 2 * q] = scratch[q];
            y[a + 2 * q + 1] = scratch[n + q];
        }
    else if (P > 2)
        for (int64_t q = 0; q < n; ++q)
            for (int64_t r = 0; r < P; ++r) y[a + P * q + r] = scratch[r * n + q];
}

// The sum of the input rows that make one output row; in `scratch`, or the input row itself where it is the only one with weight 1.
template <class T> const T* combine_rows(T* __restrict scratch, const T* plane, int64_t W, const Taps<T>& taps, int64_t row) {
    const int64_t begin = taps.start[row], end = taps.start[row + 1];
    auto line = [&](int64_t t) { return plane + taps.from[t] * W; };
    if (end - begin == 1 && taps.weight[begin] == T(1)) return line(begin);
    const T* w = taps.weight.data();
    int64_t t = begin + (end - begin) % 4;
    switch (t - begin) {
        case 0: std::fill_n(scratch, W, T(0)); break;
        case 1: for (int64_t c = 0; c < W; ++c) scratch[c] = w[begin] * line(begin)[c]; break;
        case 2: for (int64_t c = 0; c < W; ++c) scratch[c] = w[begin] * line(begin)[c] + w[begin + 1] * line(begin + 1)[c]; break;
        case 3: for (int64_t c = 0; c < W; ++c)
                scratch[c] = w[begin] * line(begin)[c] + w[begin + 1] * line(begin + 1)[c] + w[begin + 2] * line(begin + 2)[c];
    }
    for (; t < end; t += 4) {
        const T *a = line(t), *b = line(t + 1), *c = line(t + 2), *d = line(t + 3);
        const T wa = w[t], wb = w[t + 1], wc = w[t + 2], wd = w[t + 3];
        for (int64_t k = 0; k < W; ++k) scratch[k] += (wa * a[k] + wb * b[k]) + (wc * c[k] + wd * d[k]);
    }
    return scratch;
}

// Whether a matrix has one row that weighs all columns alike: the plane's mean, if both have.
template <class T> bool sums_all(const Taps<T>& taps, int64_t columns) {
    if (taps.rows != 1 || taps.entries(0) != columns) return false;
    for (int64_t i = 0; i < columns; ++i)
        if (taps.from[i] != i || taps.weight[i] != taps.weight[0]) return false;
    return true;
}

template <class T> void global_sums(T* y, const T* x, int64_t begin, int64_t end, int64_t n, T weight) {
    for (int64_t p = begin; p < end; ++p) {
        T sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < n; ++i) sum += x[p * n + i];
        y[p] = weight * sum;
    }
}

// y (P, HO, WO), x (P, H, W); None for `row_start` or `col_start` leaves that direction as it is.
void resample(Array& y, const Array& x, const Array& row_start, const Array& row_from, const Array& row_weight, const Array& col_start,
              const Array& col_from, const Array& col_weight) {
    const int64_t H = x.shape[1], W = x.shape[2], HO = y.shape[1], WO = y.shape[2];
    if (y.size() == 0) return;
    dispatch_float(x.dtype, "resample", [&]<class T>() {
        const Taps<T> rows(row_start, row_from, row_weight), cols(col_start, col_from, col_weight);
        const bool global = sums_all(rows, H) && sums_all(cols, W);
        parallel_ranges(x.shape[0] * HO, x.size() + y.size(), [&](int64_t begin, int64_t end) {
            if (global) return global_sums(y.ptr<T>(), x.ptr<T>(), begin, end, H * W, rows.weight[0] * cols.weight[0]);
            std::vector<T> scratch(W + WO);
            for (int64_t o = begin; o < end; ++o) {
                const int64_t row = o % HO;
                const T* plane = x.ptr<T>() + o / HO * H * W;
                T* out = y.ptr<T>() + o * WO;
                if (rows && rows.repeats[row] && o > begin) {
                    std::copy_n(out - WO, WO, out);
                    continue;
                }
                const T* line = rows ? combine_rows(cols ? scratch.data() : out, plane, W, rows, row) : plane + row * W;
                if (cols) combine_columns(out, line, cols, scratch.data() + W);
                else if (line != out) std::copy_n(line, WO, out);
            }
        });
    });
}

TG_KERNEL(resample, "cpu/taps", "float32 float64", resample)

}  // namespace
}  // namespace tg
