// The backward pass of attention: the weights P are made again, tile by tile, from the queries, the keys and lse.
//   dV = P^T dO     dP = dO V^T     dS = P (dP - delta)     dQ = scale dS K     dK = scale dS^T Q      delta = rowsum(dO O)
// With dropout dV takes P and dS takes dP times what the forward pass multiplied the weight by, 0 or 1 / (1 - p).
// With at least as many key heads as threads, a thread takes whole heads and makes each tile once: five products. Otherwise blocks of
// queries are shared out for dQ and then blocks of keys for dK and dV, which makes each tile twice: seven products. Sums run over
// blocks in the same order either way, so the result does not depend on the number of threads.
#include <omp.h>

#include "../core/registry.h"
#include "attention_tile.h"

namespace tg::attention {
namespace {

template <class T> struct Backward {
    Rows<const T> q, k, v, out, g;
    Rows<T> dq, dk, dv;
    const T* lse;
    T* workspace;  // of each block of queries: Q^T, dO^T, lse and delta
    Mask<T> mask;
    Dropout<T> dropout;
    bool causal;
    int64_t batch, heads, queries, keys, group;
    T scale;

    int64_t query_blocks() const { return (queries + QUERIES - 1) / QUERIES; }
    int64_t key_blocks() const { return (keys + KEYS - 1) / KEYS; }
    int64_t ld(int64_t width) const { return up(width, W<T>); }
    int64_t packed() const { return (q.width + v.width + 2) * QUERIES; }
    int64_t scratch() const {
        return (QUERIES + 2 * KEYS) * (ld(q.width) + ld(v.width)) + QUERIES * ld(q.width) + 3 * KEYS * QUERIES + 1024;
    }
    T* block(int64_t b, int64_t h, int64_t qb) const { return workspace + ((b * heads + h) * query_blocks() + qb) * packed(); }

    void prepare(int64_t b, int64_t h, int64_t qb) const {
        const int64_t i0 = qb * QUERIES, nq = std::min(QUERIES, queries - i0);
        T *qt = block(b, h, qb), *gt = qt + q.width * QUERIES, *top = gt + v.width * QUERIES, *delta = top + QUERIES;
        transpose(qt, q.at(b, h, i0), q.row, nq, q.width, T(scale * LOG2E));
        transpose(gt, g.at(b, h, i0), g.row, nq, v.width, T(1));
        for (int64_t i = 0; i < QUERIES; ++i) {
            top[i] = delta[i] = 0;
            if (i >= nq) continue;
            const T* o = out.at(b, h, i0 + i);
            for (int64_t d = 0; d < v.width; ++d) delta[i] += o[d] * gt[d * QUERIES + i];
            const T l = lse[(b * heads + h) * queries + i0 + i];
            top[i] = l == -std::numeric_limits<T>::infinity() ? -l : T(l * LOG2E);  // a query that sees nothing has no weights
        }
    }

    // One thread's memory, and the rows of the block of queries and the block of keys it is at.
    struct Room {
        Scratch<T> memory;
        T *weights, *slopes, *kept, *product, *q_room, *g_room, *k_room, *v_room, *dq;
        const T *q_rows = nullptr, *g_rows = nullptr, *k_rows = nullptr, *v_rows = nullptr;
        explicit Room(const Backward& f) : memory(f.scratch()) {
            const int64_t e = f.ld(f.q.width), ev = f.ld(f.v.width);
            weights = memory.take(KEYS * QUERIES), slopes = memory.take(KEYS * QUERIES), kept = memory.take(KEYS * QUERIES);
            product = memory.take(KEYS * std::max(e, ev)), dq = memory.take(QUERIES * e);
            q_room = memory.take(QUERIES * e), g_room = memory.take(QUERIES * ev);
            k_room = memory.take(KEYS * e), v_room = memory.take(KEYS * ev);
        }
    };

    void at_queries(Room& m, int64_t b, int64_t h, int64_t qb) const {
        const int64_t i0 = qb * QUERIES, nq = std::min(QUERIES, queries - i0);
        m.q_rows = q.vectors(b, h, i0, nq, nq, m.q_room);
        m.g_rows = g.vectors(b, h, i0, nq, nq, m.g_room);
    }
    void at_keys(Room& m, int64_t b, int64_t hk, int64_t kb) const {
        const int64_t j0 = kb * KEYS, nk = std::min(KEYS, keys - j0);
        m.k_rows = k.vectors(b, hk, j0, nk, up(nk, TILE_ROWS), m.k_room);
        m.v_rows = v.vectors(b, hk, j0, nk, up(nk, TILE_ROWS), m.v_room);
    }

    // The tile where a block of queries meets a block of keys: its part of dQ goes to m.dq, its parts of dK and dV to the results.
    template <bool DQ, bool DKV> void tile(Room& m, int64_t b, int64_t h, int64_t qb, int64_t kb) const {
        const int64_t i0 = qb * QUERIES, nq = std::min(QUERIES, queries - i0), j0 = kb * KEYS, nk = std::min(KEYS, keys - j0);
        const int64_t e = ld(q.width), ev = ld(v.width);
        if (causal && j0 > i0 + nq - 1) return;
        const T *qt = block(b, h, qb), *gt = qt + q.width * QUERIES, *top = gt + v.width * QUERIES, *delta = top + QUERIES;
        T *p = m.weights, *ds = m.slopes;
        const T* kept = dropout.on() ? m.kept : nullptr;
        if (kept) dropout.draw(m.kept, (b * heads + h) * queries + i0, i0, j0, nk, keys, causal);
        scores(p, m.k_rows, e, qt, q.width, mask, causal, b, h, i0, nq, j0, nk);
        for (int64_t j = 0; j < nk; j += SLICE) {
            const int64_t from = first_query(causal, i0, j0 + j), n = std::min(SLICE, nk - j);
            tile_gemm<T, false>(up(n, TILE_ROWS), (QUERIES - from) / W<T>, v.width, m.v_rows + j * ev, ev, 1, gt + from, QUERIES,
                                ds + j * QUERIES + from, QUERIES);
            for (int64_t r = j; r < j + n; ++r)
                for (int64_t i = from; i < QUERIES; i += W<T>) {
                    T *pa = p + r * QUERIES + i, *da = ds + r * QUERIES + i;
                    const V<T> weight = exp2<T>(load<T>(pa) - load(top + i)), factor = kept ? load(kept + r * QUERIES + i) : all(T(1));
                    store(pa, weight * factor);
                    store(da, weight * (load<T>(da) * factor - load(delta + i)) * scale);
                }
            if constexpr (DKV) {
                const int64_t hk = h / group, seen = nq - from;
                if (seen <= 0) continue;
                add(m, dv, b, hk, j0 + j, n, p + j * QUERIES + from, seen, m.g_rows + from * ev, ev);
                add(m, dk, b, hk, j0 + j, n, ds + j * QUERIES + from, seen, m.q_rows + from * e, e);
            }
        }
        if constexpr (DQ)
            for (int64_t i = 0; i < nq; i += SLICE)
                tile_gemm<T, true>(SLICE, e / W<T>, visible(causal, i0 + i + SLICE - 1, j0, nk), ds + i, 1, QUERIES, m.k_rows, e, m.dq + i * e, e);
    }

    // to[j0 ..] += A B for a slice of n keys, A a slice of a tile and B rows of a block of queries
    void add(Room& m, const Rows<T>& to, int64_t b, int64_t hk, int64_t j0, int64_t n, const T* a, int64_t seen, const T* rows,
             int64_t width) const {
        if (n % TILE_ROWS == 0 && to.width == width && to.row == width)
            return tile_gemm<T, true>(n, width / W<T>, seen, a, QUERIES, 1, rows, width, to.at(b, hk, j0), width);
        tile_gemm<T, false>(up(n, TILE_ROWS), width / W<T>, seen, a, QUERIES, 1, rows, width, m.product, width);
        for (int64_t r = 0; r < n; ++r)
            for (int64_t d = 0; d < to.width; ++d) to.at(b, hk, j0 + r)[d] += m.product[r * width + d];
    }

    void store_dq(Room& m, int64_t b, int64_t h, int64_t qb) const {
        const int64_t i0 = qb * QUERIES, nq = std::min(QUERIES, queries - i0), e = ld(q.width);
        for (int64_t i = 0; i < nq; ++i) std::memcpy(dq.at(b, h, i0 + i), m.dq + i * e, size_t(q.width) * sizeof(T));
    }

    // All query heads of one key head, each tile once.
    void head(Room& m, int64_t b, int64_t hk) const {
        for (int64_t h = hk * group; h < (hk + 1) * group; ++h)
            for (int64_t qb = 0; qb < query_blocks(); ++qb) {
                at_queries(m, b, h, qb);
                std::fill(m.dq, m.dq + QUERIES * ld(q.width), T(0));
                for (int64_t kb = 0; kb < key_blocks(); ++kb) {
                    at_keys(m, b, hk, kb);
                    tile<true, true>(m, b, h, qb, kb);
                }
                store_dq(m, b, h, qb);
            }
    }

    void block_of_queries(Room& m, int64_t b, int64_t h, int64_t qb) const {
        at_queries(m, b, h, qb);
        std::fill(m.dq, m.dq + QUERIES * ld(q.width), T(0));
        for (int64_t kb = 0; kb < key_blocks(); ++kb) {
            at_keys(m, b, h / group, kb);
            tile<true, false>(m, b, h, qb, kb);
        }
        store_dq(m, b, h, qb);
    }

    void block_of_keys(Room& m, int64_t b, int64_t hk, int64_t kb) const {
        at_keys(m, b, hk, kb);
        for (int64_t h = hk * group; h < (hk + 1) * group; ++h)
            for (int64_t qb = 0; qb < query_blocks(); ++qb) {
                at_queries(m, b, h, qb);
                tile<false, true>(m, b, h, qb, kb);
            }
    }

    void run() const {
        const int64_t rows = batch * heads * query_blocks(), key_heads = heads / group;
        const bool many = rows * QUERIES * keys * (q.width + v.width) > (1 << 17);
        const bool whole_heads = batch * key_heads >= omp_get_max_threads();
#pragma omp parallel if (many)
        {
            Room m(*this);
#pragma omp for schedule(static)
            for (int64_t t = 0; t < rows; ++t) prepare(t / query_blocks() / heads, t / query_blocks() % heads, t % query_blocks());
            if (whole_heads) {
#pragma omp for schedule(dynamic)
                for (int64_t t = 0; t < batch * key_heads; ++t) head(m, t / key_heads, t % key_heads);
            } else {
#pragma omp for schedule(dynamic) nowait
                for (int64_t t = rows - 1; t >= 0; --t) block_of_queries(m, t / query_blocks() / heads, t / query_blocks() % heads, t % query_blocks());
#pragma omp for schedule(dynamic)
                for (int64_t t = 0; t < batch * key_heads * key_blocks(); ++t)
                    block_of_keys(m, t / key_blocks() / key_heads, t / key_blocks() % key_heads, t % key_blocks());
            }
        }
    }
};

void backward(Array& dq, Array& dk, Array& dv, Array& workspace, const Array& g, const Array& q, const Array& k, const Array& v,
              const Array& out, const Array& lse, const Array& mask, int64_t causal, double scale, int64_t seed,
              int64_t first_block, int64_t limit, double factor) {
    dispatch_float(q.dtype, "attention_backward", [&]<class T>() {
        if (!k.shape[1] || !q.size()) return;
        Backward<T>{Rows<const T>(q), Rows<const T>(k), Rows<const T>(v), Rows<const T>(out), Rows<const T>(g), Rows<T>(dq), Rows<T>(dk),
                    Rows<T>(dv), lse.ptr<T>(), aligned(workspace.ptr<T>()), Mask<T>{mask},
                    Dropout<T>{seed, first_block, limit, T(factor)}, causal != 0, q.shape[0], q.shape[1], q.shape[2],
                    k.shape[2], q.shape[1] / k.shape[1], T(scale)}.run();
    });
}

TG_KERNEL(attention_backward, "cpu/flash", "float32 float64", backward)

}  // namespace
}  // namespace tg::attention
