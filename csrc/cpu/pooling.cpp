// Max pooling over planes (P, H, W), forward and backward.
//
// The maximum over a window is the maximum over its rows of each row's maximum. So each input row is reduced once to `WO` values
// (and their columns), kept in a ring of as many rows as a window spans, and output rows combine those: a 3x3 window costs 3 + 3
// comparisons rather than 9. Rows are first split by phase (column modulo stride) into padded scratch, which makes every inner
// loop run over consecutive elements in whole vectors, for any stride, padding and dilation.
#include <cstring>
#include <limits>
#include <vector>

#include "../core/parallel.h"
#include "../core/registry.h"

namespace tg {
namespace {

constexpr int64_t LANES = 16;

struct Geometry {
    int64_t H, W, HO, WO, kh, kw, sh, sw, ph, pw, dh, dw;
};

// The first wins among equals and the last among NaNs: the scan order of a row-major loop.
template <class T> inline bool beats(T v, T m) { return (v > m) | (v != v); }

template <class T> void copy_strided(T* out, const T* in, int64_t n, int64_t step) {
    if (step == 1) std::memcpy(out, in, size_t(n) * sizeof(T));
    else if (step == 2)
        for (int64_t i = 0; i < n; ++i) out[i] = in[2 * i];
    else
        for (int64_t i = 0; i < n; ++i) out[i] = in[step * i];
}

// One thread's scratch and the reduction of one input row.
template <class T, bool WITH_INDICES> class RowMax {
    static constexpr T LOWEST = -std::numeric_limits<T>::infinity();
    const Geometry& g;
    int64_t columns, phase_length, span;  // columns: WO in whole vectors; span: rows in the ring
    std::vector<T> phases, maxima;
    std::vector<int32_t> first, places;
    std::vector<char> used;

public:
    std::vector<T> best;           // the output row being made
    std::vector<int32_t> best_at;  // and where in the plane its values lie

    explicit RowMax(const Geometry& geometry)
        : g(geometry), columns((g.WO + LANES - 1) / LANES * LANES), phase_length(columns + (g.kw - 1) * g.dw / g.sw + 1),
          span((g.kh - 1) * g.dh + 1), phases(g.sw * phase_length, LOWEST), maxima(span * columns), first(columns),
          places(WITH_INDICES ? span * columns : 0), used(g.sw), best(columns), best_at(WITH_INDICES ? columns : 0) {
        for (int64_t k = 0; k < g.kw; ++k) used[k * g.dw % g.sw] = 1;
        for (int64_t j = 0; j < columns; ++j) {  // the first column of each window that is not padding
            int64_t c = j * g.sw - g.pw;
            while (c < 0) c += g.dw;
            first[j] = int32_t(c);
        }
    }

    T* maxima_of(int64_t row) { return maxima.data() + row % span * columns; }
    int32_t* places_of(int64_t row) { return places.data() + row % span * columns; }

    void reduce(const T* x, int64_t row) {
        for (int64_t f = 0; f < g.sw; ++f) {
            if (!used[f]) continue;
            const int64_t q0 = f >= g.pw ? 0 : (g.pw - f + g.sw - 1) / g.sw, c0 = q0 * g.sw + f - g.pw;
            const int64_t room = phase_length - q0, n = c0 < g.W ? std::min(room, (g.W - c0 + g.sw - 1) / g.sw) : 0;
            if (n > 0) copy_strided(phases.data() + f * phase_length + q0, x + c0, n, g.sw);
        }
        T* __restrict m = maxima_of(row);
        [[maybe_unused]] int32_t* __restrict at = WITH_INDICES ? places_of(row) : nullptr;
        std::memcpy(m, phases.data(), size_t(columns) * sizeof(T));
        if constexpr (WITH_INDICES) std::memcpy(at, first.data(), size_t(columns) * sizeof(int32_t));
        for (int64_t k = 1; k < g.kw; ++k) {
            const T* __restrict v = phases.data() + k * g.dw % g.sw * phase_length + k * g.dw / g.sw;
            [[maybe_unused]] const int32_t step = int32_t(g.sw), from = int32_t(k * g.dw - g.pw);
#pragma omp simd
            for (int64_t j = 0; j < columns; ++j) {
                const bool take = beats(v[j], m[j]);
                m[j] = take ? v[j] : m[j];
                if constexpr (WITH_INDICES) at[j] = take ? int32_t(j) * step + from : at[j];
            }
        }
    }

    void start(int64_t row) {
        std::memcpy(best.data(), maxima_of(row), size_t(columns) * sizeof(T));
        if constexpr (WITH_INDICES) {
            const int32_t* at = places_of(row);
            for (int64_t j = 0; j < columns; ++j) best_at[j] = int32_t(row * g.W) + at[j];
        }
    }

    void combine(int64_t row) {
        const T* __restrict v = maxima_of(row);
        T* __restrict m = best.data();
        [[maybe_unused]] const int32_t* __restrict at = WITH_INDICES ? places_of(row) : nullptr;
        [[maybe_unused]] int32_t* __restrict m_at = best_at.data();
        [[maybe_unused]] const int32_t base = int32_t(row * g.W);
#pragma omp simd
        for (int64_t j = 0; j < columns; ++j) {
            const bool take = beats(v[j], m[j]);
            m[j] = take ? v[j] : m[j];
            if constexpr (WITH_INDICES) m_at[j] = take ? base + at[j] : m_at[j];
        }
    }
};

// Rows of a few outputs: vectors would be mostly empty, so each window is scanned by itself.
template <class T, class I> void pool_narrow(T* y, I* indices, const T* x, int64_t begin, int64_t end, const Geometry& g) {
    for (int64_t p = begin; p < end; ++p) {
        const T* plane = x + p * g.H * g.W;
        for (int64_t i = 0; i < g.HO; ++i) {
            int64_t top = i * g.sh - g.ph;
            const int64_t bottom = std::min(top + (g.kh - 1) * g.dh, g.H - 1);
            while (top < 0) top += g.dh;
            for (int64_t j = 0; j < g.WO; ++j) {
                int64_t left = j * g.sw - g.pw;
                const int64_t right = std::min(left + (g.kw - 1) * g.dw, g.W - 1);
                while (left < 0) left += g.dw;
                int64_t at = top * g.W + left;
                T best = plane[at];
                for (int64_t r = top; r <= bottom; r += g.dh)
                    for (int64_t c = left; c <= right; c += g.dw) {
                        const T v = plane[r * g.W + c];
                        const bool take = beats(v, best);
                        best = take ? v : best;
                        at = take ? r * g.W + c : at;
                    }
                y[(p * g.HO + i) * g.WO + j] = best;
                if (indices) indices[(p * g.HO + i) * g.WO + j] = I(at);
            }
        }
    }
}

template <class T, class I, bool WITH_INDICES> void pool_planes(T* y, I* indices, const T* x, int64_t begin, int64_t end, const Geometry& g) {
    if (g.WO < 8 && g.kw * g.kh <= 16) return pool_narrow(y, indices, x, begin, end, g);
    RowMax<T, WITH_INDICES> rows(g);
    for (int64_t p = begin; p < end; ++p) {
        int64_t ready = 0;  // input rows below this one are reduced (those still in the ring)
        for (int64_t i = 0; i < g.HO; ++i) {
            const int64_t top = i * g.sh - g.ph, bottom = std::min(top + (g.kh - 1) * g.dh, g.H - 1);
            for (ready = std::max(ready, top); ready <= bottom; ++ready) rows.reduce(x + (p * g.H + ready) * g.W, ready);
            int64_t r = top;
            while (r < 0) r += g.dh;
            rows.start(r);
            for (r += g.dh; r <= bottom; r += g.dh) rows.combine(r);
            const int64_t at = (p * g.HO + i) * g.WO;
            for (int64_t j = 0; j < g.WO; ++j) y[at + j] = rows.best[j];
            if constexpr (WITH_INDICES)
                for (int64_t j = 0; j < g.WO; ++j) indices[at + j] = rows.best_at[j];
        }
    }
}

// y (P, HO, WO), indices (P, HO, WO) int32 or int64 or None, x (P, H, W). Every window holds at least one element of x.
void max_pool2d(Array& y, Array& indices, const Array& x, int64_t kh, int64_t kw, int64_t sh, int64_t sw, int64_t ph, int64_t pw,
                int64_t dh, int64_t dw) {
    const Geometry g{x.shape[1], x.shape[2], y.shape[1], y.shape[2], kh, kw, sh, sw, ph, pw, dh, dw};
    if (y.size() == 0) return;
    if (g.H * g.W > std::numeric_limits<int32_t>::max() / 2) throw std::invalid_argument("a plane of x has more than 2^30 elements");
    dispatch_float(x.dtype, "max_pool2d", [&]<class T>() {
        parallel_ranges(x.shape[0], x.size(), [&](int64_t begin, int64_t end) {
            if (!indices) pool_planes<T, int32_t, false>(y.ptr<T>(), static_cast<int32_t*>(nullptr), x.ptr<T>(), begin, end, g);
            else if (indices.dtype == DType::int32) pool_planes<T, int32_t, true>(y.ptr<T>(), indices.ptr<int32_t>(), x.ptr<T>(), begin, end, g);
            else pool_planes<T, int64_t, true>(y.ptr<T>(), indices.ptr<int64_t>(), x.ptr<T>(), begin, end, g);
        });
    });
}

// The maximum over windows of varying size: rows [top[i], bottom[i]) by columns [left[j], right[j]), int64 arrays.
void adaptive_max_pool2d(Array& y, Array& indices, const Array& x, const Array& top, const Array& bottom, const Array& left, const Array& right) {
    const int64_t H = x.shape[1], W = x.shape[2], HO = y.shape[1], WO = y.shape[2];
    dispatch_float(x.dtype, "adaptive_max_pool2d", [&]<class T>() {
        parallel_ranges(y.size() ? x.shape[0] : 0, x.size(), [&](int64_t begin, int64_t end) {
            for (int64_t p = begin; p < end; ++p)
                for (int64_t i = 0; i < HO; ++i)
                    for (int64_t j = 0; j < WO; ++j) {
                        const T* plane = x.ptr<T>() + p * H * W;
                        int64_t best = top.ptr<int64_t>()[i] * W + left.ptr<int64_t>()[j];
                        for (int64_t r = top.ptr<int64_t>()[i]; r < bottom.ptr<int64_t>()[i]; ++r)
                            for (int64_t c = left.ptr<int64_t>()[j]; c < right.ptr<int64_t>()[j]; ++c)
                                if (beats(plane[r * W + c], plane[best])) best = r * W + c;
                        y.ptr<T>()[(p * HO + i) * WO + j] = plane[best];
                        indices.ptr<int64_t>()[(p * HO + i) * WO + j] = best;
                    }
        });
    });
}

template <class F> void with_index(const Array& indices, F&& f) {
    if (indices.dtype == DType::int32) f.template operator()<int32_t>();
    else f.template operator()<int64_t>();
}

// dx (P, N) = 0, then dx[p, indices[p, o]] += g[p, o]. A plane belongs to one thread: no atomics, one order of addition.
void pool_scatter(Array& dx, const Array& g, const Array& indices) {
    const int64_t P = dx.shape[0], N = dx.shape[1], O = g.shape[1];
    dispatch_float(g.dtype, "pool_scatter", [&]<class T>() {
        with_index(indices, [&]<class I>() {
            parallel_ranges(P, dx.size() + g.size(), [&](int64_t begin, int64_t end) {
                for (int64_t p = begin; p < end; ++p) {
                    T* out = dx.ptr<T>() + p * N;
                    const T* in = g.ptr<T>() + p * O;
                    const I* at = indices.ptr<I>() + p * O;
                    std::memset(out, 0, size_t(N) * sizeof(T));
                    for (int64_t o = 0; o < O; ++o) out[at[o]] += in[o];
                }
            });
        });
    });
}

// y (P, N) = 0, then y[p, indices[p, o]] = x[p, o]: of several values for one place the last stays.
void max_unpool2d(Array& y, const Array& x, const Array& indices) {
    const int64_t P = y.shape[0], N = y.shape[1], O = x.shape[1];
    dispatch_float(x.dtype, "max_unpool2d", [&]<class T>() {
        parallel_ranges(P, y.size() + x.size(), [&](int64_t begin, int64_t end) {
            for (int64_t p = begin; p < end; ++p) {
                std::memset(y.ptr<T>() + p * N, 0, size_t(N) * sizeof(T));
                for (int64_t o = 0; o < O; ++o) y.ptr<T>()[p * N + indices.ptr<int64_t>()[p * O + o]] = x.ptr<T>()[p * O + o];
            }
        });
    });
}

// y[p, o] = x[p, indices[p, o]]
void pool_gather(Array& y, const Array& x, const Array& indices) {
    const int64_t P = x.shape[0], N = x.shape[1], O = y.shape[1];
    dispatch_float(x.dtype, "pool_gather", [&]<class T>() {
        with_index(indices, [&]<class I>() {
            parallel_ranges(P, y.size(), [&](int64_t begin, int64_t end) {
                for (int64_t p = begin; p < end; ++p)
                    for (int64_t o = 0; o < O; ++o) y.ptr<T>()[p * O + o] = x.ptr<T>()[p * N + int64_t(indices.ptr<I>()[p * O + o])];
            });
        });
    });
}

TG_KERNEL(max_pool2d, "cpu/rows", "float32 float64", max_pool2d)
TG_KERNEL(adaptive_max_pool2d, "cpu/windows", "float32 float64", adaptive_max_pool2d)
TG_KERNEL(max_unpool2d, "cpu/planes", "float32 float64", max_unpool2d)
TG_KERNEL(pool_scatter, "cpu/planes", "float32 float64", pool_scatter)
TG_KERNEL(pool_gather, "cpu/planes", "float32 float64", pool_gather)

}  // namespace
}  // namespace tg
