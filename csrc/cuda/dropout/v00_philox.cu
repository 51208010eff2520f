// The idea: random bits are a function of the element's number, so a thread makes the four words of its Philox block and needs no state.
// Before it: nothing. The bits are those of the CPU kernel, and backward draws them again.
// Ownership: a thread owns four rows, elements that share a word each, and then those a whole grid further on.
// Bottleneck: bandwidth of memory where a row is one element, four at a time; longer rows (whole channels) are walked by one lane.
// Measure: python -m tensorgrad lab drop --kernel cuda/v00_philox
#include "../pointwise/formulas.h"

namespace tg::dropout {

constexpr int THREADS = 256, MOST_BLOCKS = 1 << 14;

// The words of one block of Philox 4x32-10, as csrc/core/philox.h has it.
__device__ inline uint4 philox(uint64_t seed, uint64_t block) {
    unsigned c0 = unsigned(block), c1 = unsigned(block >> 32), c2 = 0, c3 = 0, k0 = unsigned(seed), k1 = unsigned(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const uint64_t a = uint64_t(c0) * 0xD2511F53u, b = uint64_t(c2) * 0xCD9E8D57u;
        c0 = unsigned(b >> 32) ^ c1 ^ k0;
        c2 = unsigned(a >> 32) ^ c3 ^ k1;
        c1 = unsigned(b);
        c3 = unsigned(a);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return make_uint4(c0, c1, c2, c3);
}

template <class C> struct Drop {
    int64_t rows, run, first_block;
    uint64_t seed;
    unsigned last;  // the largest word that keeps
    C on, plus, minus;

    template <class S> __device__ S of(S x, unsigned word) const {
        const bool keep = word <= last;
        return S(std::fma(C(x), keep ? on : C(0), keep ? plus : minus));  // one rounding everywhere, whatever a compiler contracts
    }
};

template <class S, class C> __global__ void __launch_bounds__(THREADS) drop(S* y, const S* x, const __grid_constant__ Drop<C> d) {
    for (int64_t b = blockIdx.x * int64_t(THREADS) + threadIdx.x; b * 4 < d.rows; b += gridDim.x * int64_t(THREADS)) {
        const uint4 word = philox(d.seed, uint64_t(d.first_block + b));
        const unsigned words[4] = {word.x, word.y, word.z, word.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int64_t row = b * 4 + i;
            for (int64_t j = 0; row < d.rows && j < d.run; ++j) y[row * d.run + j] = d.of(x[row * d.run + j], words[i]);
        }
    }
}

// Rows of one element, at aligned addresses: the four of a block are one access.
template <class S, class C> __global__ void __launch_bounds__(THREADS) drop_fours(S* y, const S* x, const __grid_constant__ Drop<C> d) {
    struct alignas(4 * sizeof(S)) Four {
        S at[4];
    };
    for (int64_t b = blockIdx.x * int64_t(THREADS) + threadIdx.x; b * 4 < d.rows; b += gridDim.x * int64_t(THREADS)) {
        const uint4 word = philox(d.seed, uint64_t(d.first_block + b));
        const unsigned words[4] = {word.x, word.y, word.z, word.w};
        Four four;
        const bool whole = b * 4 + 4 <= d.rows;
        if (whole) four = reinterpret_cast<const Four*>(x)[b];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if (whole) four.at[i] = d.of(four.at[i], words[i]);
            else if (b * 4 + i < d.rows) y[b * 4 + i] = d.of(x[b * 4 + i], words[i]);
        }
        if (whole) reinterpret_cast<Four*>(y)[b] = four;
    }
}

// y, x (rows, run); a row is kept where its word is below `limit`, from 0 to 2^32.
void run(Array& y, const Array& x, int64_t seed, int64_t first_block, int64_t limit, double scale, double shift, double dropped) {
    if (x.size() == 0) return;
    pointwise::by_float(x.dtype, "drop", [&]<class S>() {
        using C = pointwise::Computed<S>;
        const Drop<C> d{x.shape[0], x.shape[1], first_block, uint64_t(seed), unsigned(limit ? limit - 1 : 0), limit ? C(scale) : C(0),
                        C(limit ? shift : dropped), C(dropped)};
        const int64_t blocks = ((d.rows + 3) / 4 + THREADS - 1) / THREADS;
        const bool fours = d.run == 1 && reinterpret_cast<uintptr_t>(y.data) % (4 * sizeof(S)) == 0 &&
                           reinterpret_cast<uintptr_t>(x.data) % (4 * sizeof(S)) == 0;
        launch(fours ? drop_fours<S, C> : drop<S, C>, unsigned(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS), THREADS, 0, current_stream,
               y.ptr<S>(), x.ptr<const S>(), d);
    });
}
TG_KERNEL(drop, "cuda/v00_philox", TG_FLOATS, run)

}  // namespace tg::dropout
