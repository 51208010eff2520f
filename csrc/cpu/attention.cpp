// Attention without the matrix of scores (FlashAttention: Dao et al., NeurIPS 2022; online softmax: Milakov and Gimelshein, 2018).
// A block of queries meets one block of keys after the other and keeps a running maximum m, a running sum l of 2^(s - m) and the
// weighted sum of values, rescaled whenever m grows. What is left for the backward pass is lse = ln(sum exp(scores)) per query; which
// weights dropout kept it draws again.
// One task is a block of queries of one head; tasks share nothing, so the number of threads does not change the result.
#include "../core/registry.h"
#include "attention_tile.h"

namespace tg::attention {
namespace {

template <class T> struct Forward {
    Rows<const T> q, k, v;
    Rows<T> out;
    T* lse;
    Mask<T> mask;
    Dropout<T> dropout;
    bool causal;
    int64_t batch, heads, queries, keys, group;
    T scale;

    int64_t blocks() const { return (queries + QUERIES - 1) / QUERIES; }
    int64_t value_vectors() const { return (v.width + W<T> - 1) / W<T>; }
    int64_t scratch() const {
        return QUERIES * (q.width + value_vectors() * W<T> + 2 * KEYS + 3) + KEYS * (up(q.width, W<T>) + value_vectors() * W<T>) + 512;
    }

    void block(int64_t b, int64_t h, int64_t i0, Scratch<T>& room) const {
        room.reset();
        const int64_t nq = std::min(QUERIES, queries - i0), ldv = value_vectors() * W<T>, hk = h / group;
        T *qt = room.take(q.width * QUERIES), *o = room.take(QUERIES * ldv), *s = room.take(KEYS * QUERIES);
        T *kept = room.take(KEYS * QUERIES), *top = room.take(QUERIES), *sum = room.take(QUERIES), *shrink = room.take(QUERIES);
        T *k_room = room.take(KEYS * up(q.width, W<T>)), *v_room = room.take(KEYS * ldv);
        transpose(qt, q.at(b, h, i0), q.row, nq, q.width, T(scale * LOG2E));
        std::fill(o, o + QUERIES * ldv, T(0));
        std::fill(sum, sum + QUERIES, T(0));
        std::fill(top, top + QUERIES, -std::numeric_limits<T>::infinity());
        const int64_t last = causal ? std::min(keys, i0 + nq) : keys;
        for (int64_t j0 = 0; j0 < last; j0 += KEYS) {
            const int64_t nk = std::min(KEYS, last - j0);
            const T* kb = k.vectors(b, hk, j0, nk, up(nk, TILE_ROWS), k_room);
            const int64_t ldk = kb == k_room ? up(k.width, W<T>) : k.row;
            scores(s, kb, ldk, qt, q.width, mask, causal, b, h, i0, nq, j0, nk);
            softmax(s, top, sum, shrink, i0, j0, nk);
            if (dropout.on()) {  // after the sum: dropout is of the softmax
                dropout.draw(kept, (b * heads + h) * queries + i0, i0, j0, nk, keys, causal);
                for (int64_t j = 0; j < nk; ++j)
                    for (int64_t i = first_query(causal, i0, j0 + j); i < QUERIES; i += W<T>)
                        store(s + j * QUERIES + i, load(s + j * QUERIES + i) * load(kept + j * QUERIES + i));
            }
            const T* vb = v.vectors(b, hk, j0, nk, nk, v_room);
            for (int64_t i = 0; i < nq; i += SLICE) {
                for (int64_t r = i; r < i + SLICE; ++r)
                    if (shrink[r] != T(1))
                        for (int64_t d = 0; d < ldv; d += W<T>) store(o + r * ldv + d, load<T>(o + r * ldv + d) * shrink[r]);
                tile_gemm<T, true>(SLICE, value_vectors(), visible(causal, i0 + i + SLICE - 1, j0, nk), s + i, 1, QUERIES, vb, ldv,
                                   o + i * ldv, ldv);
            }
        }
        for (int64_t i = 0; i < nq; ++i) {
            const T inverse = sum[i] == T(0) ? T(0) : T(1) / sum[i];  // a query that sees nothing gets zeros
            T* to = out.at(b, h, i0 + i);
            for (int64_t d = 0; d < v.width; ++d) to[d] = o[i * ldv + d] * inverse;
            lse[(b * heads + h) * queries + i0 + i] = T(top[i] / LOG2E) + std::log(sum[i]);
        }
    }

    // Scores of one tile become weights 2^(s - top); `shrink` is the factor for what was summed under the former maximum.
    void softmax(T* s, T* top, T* sum, T* shrink, int64_t i0, int64_t j0, int64_t nk) const {
        for (int64_t i = 0; i < QUERIES; i += W<T>) {
            const int64_t rows = visible(causal, i0 + i / SLICE * SLICE + SLICE - 1, j0, nk);
            const V<T> before = load(top + i);
            V<T> now = before;
            for (int64_t j = 0; j < rows; ++j) {
                const V<T> x = load(s + j * QUERIES + i);
                now = x > now ? x : now;
            }
            const V<T> base = now == -std::numeric_limits<T>::infinity() ? V<T>{} : now, factor = exp2<T>(before - base);
            V<T> total{};
            for (int64_t j = 0; j < rows; ++j) {
                const V<T> p = exp2<T>(load(s + j * QUERIES + i) - base);
                store(s + j * QUERIES + i, p);
                total += p;
            }
            store(top + i, now);
            store(shrink + i, factor);
            store(sum + i, load(sum + i) * factor + total);
        }
    }
};

void forward(Array& out, Array& lse, const Array& q, const Array& k, const Array& v, const Array& mask, int64_t causal, double scale,
             int64_t seed, int64_t first_block, int64_t limit, double factor) {
    dispatch_float(q.dtype, "attention", [&]<class T>() {
        const Forward<T> f{Rows<const T>(q), Rows<const T>(k), Rows<const T>(v), Rows<T>(out), lse.ptr<T>(), Mask<T>{mask},
                           Dropout<T>{seed, first_block, limit, T(factor)}, causal != 0, q.shape[0], q.shape[1], q.shape[2], k.shape[2],
                           k.shape[1] ? q.shape[1] / k.shape[1] : 1, T(scale)};
        const int64_t tasks = f.batch * f.heads * f.blocks(), work = tasks * QUERIES * f.keys * (f.q.width + f.v.width);
#pragma omp parallel if (tasks > 1 && work > (1 << 18))
        {
            Scratch<T> room(f.scratch());
#pragma omp for schedule(dynamic)
            for (int64_t t = 0; t < tasks; ++t) {  // the last block of queries first: under a causal mask it is the longest
                const int64_t head = t % (f.batch * f.heads), block = f.blocks() - 1 - t / (f.batch * f.heads);
                f.block(head / f.heads, head % f.heads, block * QUERIES, room);
            }
        }
    });
}

TG_KERNEL(attention, "cpu/flash", "float32 float64", forward)

}  // namespace
}  // namespace tg::attention
