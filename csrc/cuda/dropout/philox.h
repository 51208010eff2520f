// What the kernels of dropout share: what becomes of an element.
#pragma once
#include "../../device/philox.cuh"
#include "../../device/stretch.cuh"
#include "../pointwise/formulas.h"

namespace tg::dropout {

constexpr int THREADS = 256, MOST_BLOCKS = 1 << 14;

using device::philox;

template <class C> struct Drop {
    int64_t rows, run, first_block;
    uint64_t seed;
    unsigned last;  // the largest word that keeps
    C on, plus, minus;

    // A row is kept where its word is below `limit`, from 0 to 2^32.
    Drop(int64_t rows, int64_t run, int64_t seed, int64_t first_block, int64_t limit, double scale, double shift, double dropped)
        : rows(rows), run(run), first_block(first_block), seed(uint64_t(seed)), last(unsigned(limit ? limit - 1 : 0)), on(limit ? C(scale) : C(0)),
          plus(C(limit ? shift : dropped)), minus(C(dropped)) {}

    // The same once a graph's kernel has looked up what it draws.
    __device__ Drop drawn() const {
        Drop d = *this;
        const device::Stretch from(seed, first_block);
        d.seed = from.seed, d.first_block = int64_t(from.first);
        return d;
    }

    __device__ C of(C x, unsigned word) const {
        const bool keep = word <= last;
        return std::fma(x, keep ? on : C(0), keep ? plus : minus);  // one rounding everywhere, whatever a compiler contracts
    }
};

// Blocks for so many elements, four to a thread.
inline unsigned blocks_for(int64_t elements) {
    const int64_t all = (elements + 4 * THREADS - 1) / (4 * THREADS);
    return unsigned(all < MOST_BLOCKS ? all : MOST_BLOCKS);
}

// N elements that are moved as one: the four of a block of the stream for example.
template <class S, int N> struct alignas(N * sizeof(S)) Neighbours {
    S at[N];
};
template <class S> bool in_fours(const Array& a) { return reinterpret_cast<uintptr_t>(a.data) % (4 * sizeof(S)) == 0; }  // None is

}  // namespace tg::dropout
