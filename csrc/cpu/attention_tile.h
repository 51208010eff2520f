// What the forward and backward passes of attention share: strided views, masks, and tiles of transposed scores.
//
// A tile holds S^T: one row per key, one lane per query. Softmax then runs down the rows, lane by lane, without any horizontal
// step, and the tile serves every product as a broadcast operand in either orientation.
#pragma once
#include <algorithm>
#include <memory>

#include "../core/array.h"
#include "../core/philox.h"
#include "tile_gemm.h"

namespace tg::attention {

using namespace simd;

constexpr int64_t QUERIES = 64, KEYS = 64;  // a tile of float32 is half of a 32 KiB first-level cache
constexpr int64_t SLICE = 16;               // queries or keys that skip the masked half of a diagonal tile together
constexpr double LOG2E = 1.44269504088896340736;

inline int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

template <class T> T* aligned(T* p) { return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(p) + 63) & ~uintptr_t(63)); }

// Memory of one thread, aligned to vectors.
template <class T> class Scratch {
    std::unique_ptr<T[]> memory;
    T* next;

public:
    explicit Scratch(int64_t n) : memory(new T[size_t(n) + 64]) { reset(); }
    void reset() { next = aligned(memory.get()); }
    T* take(int64_t n) {
        T* p = next;
        next += up(n, 64 / int64_t(sizeof(T)));
        return p;
    }
};

// Rows of a (batch, head, length, width) array whose last dimension is contiguous.
template <class T> struct Rows {
    using N = std::remove_const_t<T>;
    T* data;
    int64_t batch, head, row, width;
    explicit Rows(const Array& a) : data(a.ptr<T>()), batch(a.strides[0]), head(a.strides[1]), row(a.strides[2]), width(a.shape[3]) {}
    T* at(int64_t b, int64_t h, int64_t i) const { return data + b * batch + h * head + i * row; }
    // n rows as an operand in whole vectors, `ld` apart: in place where they lie so, else copied to `room`
    const N* vectors(int64_t b, int64_t h, int64_t i, int64_t n, int64_t rows, N* room) const {
        const N* from = at(b, h, i);
        if (row == width && width % W<N> == 0 && n == rows) return from;
        const int64_t ld = up(width, W<N>);
        for (int64_t r = 0; r < rows; ++r) {
            N* to = room + r * ld;
            if (r < n) std::memcpy(to, from + r * row, size_t(width) * sizeof(T));
            for (int64_t d = r < n ? width : 0; d < ld; ++d) to[d] = 0;
        }
        return room;
    }
};

// to[d][i] = scale * from[i][d] for QUERIES lanes, zeros in the lanes past n
template <class T> void transpose(T* to, const T* from, int64_t row, int64_t n, int64_t width, T scale) {
    int64_t d = 0;
    if constexpr (sizeof(T) == 4) {
        typedef T Q __attribute__((vector_size(16), aligned(4), may_alias));
        typedef int32_t M __attribute__((vector_size(16)));
        for (; d + 4 <= width; d += 4)
            for (int64_t i = 0; i + 4 <= n; i += 4) {
                const T* f = from + i * row + d;
                const Q a = *(const Q*)f, b = *(const Q*)(f + row), c = *(const Q*)(f + 2 * row), e = *(const Q*)(f + 3 * row);
                const Q p = __builtin_shuffle(a, b, M{0, 4, 1, 5}), q = __builtin_shuffle(c, e, M{0, 4, 1, 5});
                const Q r = __builtin_shuffle(a, b, M{2, 6, 3, 7}), s = __builtin_shuffle(c, e, M{2, 6, 3, 7});
                T* t = to + d * QUERIES + i;
                *(Q*)t = scale * __builtin_shuffle(p, q, M{0, 1, 4, 5});
                *(Q*)(t + QUERIES) = scale * __builtin_shuffle(p, q, M{2, 3, 6, 7});
                *(Q*)(t + 2 * QUERIES) = scale * __builtin_shuffle(r, s, M{0, 1, 4, 5});
                *(Q*)(t + 3 * QUERIES) = scale * __builtin_shuffle(r, s, M{2, 3, 6, 7});
            }
        for (int64_t e = 0; e < d; ++e)
            for (int64_t i = n / 4 * 4; i < n; ++i) to[e * QUERIES + i] = scale * from[i * row + e];
    }
    for (; d < width; ++d)
        for (int64_t i = 0; i < n; ++i) to[d * QUERIES + i] = scale * from[i * row + d];
    if (n < QUERIES)
        for (d = 0; d < width; ++d)
            for (int64_t i = n; i < QUERIES; ++i) to[d * QUERIES + i] = 0;
}

// An additive or boolean mask, broadcast to (batch, head, query, key) by strides of 0.
template <class T> struct Mask {
    const Array& a;
    void add(T* s, int64_t b, int64_t h, int64_t i0, int64_t nq, int64_t j0, int64_t nk) const {
        if (!a) return;
        const int64_t start = b * a.strides[0] + h * a.strides[1] + i0 * a.strides[2] + j0 * a.strides[3];
        if (a.dtype == DType::boolean) {
            const auto* m = a.ptr<uint8_t>() + start;
            spread(s, nq, nk, [=, r = a.strides[2], c = a.strides[3]](int64_t i, int64_t j) {
                return m[i * r + j * c] ? T(0) : -std::numeric_limits<T>::infinity();
            });
        } else {
            const T* m = a.ptr<T>() + start;
            spread(s, nq, nk, [=, r = a.strides[2], c = a.strides[3]](int64_t i, int64_t j) { return T(LOG2E) * m[i * r + j * c]; });
        }
    }

private:
    template <class F> void spread(T* s, int64_t nq, int64_t nk, F value) const {
        if (a.strides[2] == 0) {  // the same for every query: padding
            for (int64_t j = 0; j < nk; ++j) {
                const T m = value(0, j);
                for (int64_t i = 0; i < QUERIES; i += W<T>) store(s + j * QUERIES + i, load(s + j * QUERIES + i) + m);
            }
            return;
        }
        for (int64_t i = 0; i < nq; ++i)
            for (int64_t j = 0; j < nk; ++j) s[j * QUERIES + i] += value(i, j);
    }
};

// Keys that query i0 + lane may see in a tile that starts at key j0: all nk, or under a causal mask those up to itself.
inline int64_t visible(bool causal, int64_t i, int64_t j0, int64_t nk) {
    return causal ? std::max<int64_t>(0, std::min(nk, i - j0 + 1)) : nk;
}

// The first query of a tile, in whole slices, that sees key j0 + j.
inline int64_t first_query(bool causal, int64_t i0, int64_t j) {
    return causal ? std::min(QUERIES, std::max<int64_t>(0, j - i0) / SLICE * SLICE) : 0;
}

// Dropout of weights: that of query i and key j is kept where word j % 4 of Philox's block first_block + row ceil(keys / 4) + j / 4 is
// below `limit`, from 0 to 2^32; `row` is the query's number among those of all heads. What is kept is multiplied by `factor`.
template <class T> struct Dropout {
    int64_t seed, first_block, limit;
    T factor;
    bool on() const { return factor != T(1); }

    // m[j][i] = factor where query i0 + i keeps the weight of key j0 + j, else 0; `row` is the number of query i0.
    void draw(T* m, int64_t row, int64_t i0, int64_t j0, int64_t nk, int64_t keys, bool causal) const {
        static_assert(SLICE == philox::LANES && KEYS % 4 == 0);
        const int64_t blocks = (keys + 3) / 4;
        const auto last = uint32_t(limit ? limit - 1 : 0);  // in 32 bits: the largest word that keeps
        const T kept = limit ? factor : T(0);
        uint32_t words[philox::WORDS];
        for (int64_t j = 0; j < nk; j += 4)
            for (int64_t i = first_query(causal, i0, j0 + j); i < QUERIES; i += SLICE) {
                philox::columns(uint64_t(seed), uint64_t(first_block + (row + i) * blocks + (j0 + j) / 4), uint64_t(blocks), words);
                for (int64_t w = 0; w < 4; ++w)
                    for (int64_t r = 0; r < SLICE; ++r) m[(j + w) * QUERIES + i + r] = words[w * SLICE + r] <= last ? kept : T(0);
            }
    }
};

// s[j][i] = sum_d k[j][d] qt[d][i], scores in powers of two, masked. Entries that no query of a slice sees are not computed.
template <class T>
void scores(T* s, const T* k, int64_t ldk, const T* qt, int64_t width, const Mask<T>& mask, bool causal, int64_t b, int64_t h, int64_t i0,
            int64_t nq, int64_t j0, int64_t nk) {
    for (int64_t j = 0; j < nk; j += SLICE) {
        const int64_t from = first_query(causal, i0, j0 + j), m = std::min(SLICE, up(nk - j, TILE_ROWS));
        tile_gemm<T, false>(m, (QUERIES - from) / W<T>, width, k + j * ldk, ldk, 1, qt + from, QUERIES, s + j * QUERIES + from, QUERIES);
    }
    mask.add(s, b, h, i0, nq, j0, nk);
    if (causal && j0 + nk - 1 > i0)
        for (int64_t j = std::max<int64_t>(0, i0 + 1 - j0); j < nk; ++j)
            for (int64_t i = first_query(true, i0, j0 + j); i0 + i < j0 + j && i < QUERIES; ++i)
                s[j * QUERIES + i] = -std::numeric_limits<T>::infinity();
}

}  // namespace tg::attention
