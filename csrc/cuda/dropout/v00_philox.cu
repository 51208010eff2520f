// The idea: random bits are a function of the element's number, so a thread makes the four words of its Philox block and needs no state.
// Before it: nothing. The bits are those of the CPU kernel, and backward draws them again.
// Ownership: a thread owns the four elements of a block of the stream, or four neighbours of a row that shares a word (a whole channel).
// Bottleneck: bandwidth of memory, next to ten rounds of two products for 16 bytes.
// Measure: python -m tensorgrad lab drop --kernel cuda/v00_philox
#include "philox.h"

namespace tg::dropout {

// Rows of `run` elements that share a word, or single elements anywhere: W neighbours of a row to a thread, whose word it makes.
template <class S, class C, int W> __global__ void __launch_bounds__(THREADS) drop(S* y, const S* x, const __grid_constant__ Drop<C> given) {
    const Drop<C> d = given.drawn();
    const int64_t step = gridDim.x * int64_t(THREADS) * W;
    for (int64_t at = (blockIdx.x * int64_t(THREADS) + threadIdx.x) * W; at < d.rows * d.run; at += step) {
        const int64_t row = at / d.run;
        const uint4 words = philox(d.seed, uint64_t(d.first_block + row / 4));
        const unsigned word = row % 4 < 2 ? (row % 4 ? words.y : words.x) : (row % 4 == 2 ? words.z : words.w);
        Neighbours<S, W> own = *reinterpret_cast<const Neighbours<S, W>*>(x + at);
#pragma unroll
        for (int i = 0; i < W; ++i) own.at[i] = S(d.of(C(own.at[i]), word));
        *reinterpret_cast<Neighbours<S, W>*>(y + at) = own;
    }
}

// Rows of one element, at aligned addresses: the four of a block of the stream are one access.
template <class S, class C> __global__ void __launch_bounds__(THREADS) drop_fours(S* y, const S* x, const __grid_constant__ Drop<C> given) {
    const Drop<C> d = given.drawn();
    for (int64_t b = blockIdx.x * int64_t(THREADS) + threadIdx.x; b * 4 < d.rows; b += gridDim.x * int64_t(THREADS)) {
        const uint4 word = philox(d.seed, uint64_t(d.first_block + b));
        const unsigned words[4] = {word.x, word.y, word.z, word.w};
        Neighbours<S, 4> four;
        const bool whole = b * 4 + 4 <= d.rows;
        if (whole) four = reinterpret_cast<const Neighbours<S, 4>*>(x)[b];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if (whole) four.at[i] = S(d.of(C(four.at[i]), words[i]));
            else if (b * 4 + i < d.rows) y[b * 4 + i] = S(d.of(C(x[b * 4 + i]), words[i]));
        }
        if (whole) reinterpret_cast<Neighbours<S, 4>*>(y)[b] = four;
    }
}

// y, x (rows, run); a row is kept where its word is below `limit`, from 0 to 2^32.
void run(Array& y, const Array& x, int64_t seed, int64_t first_block, int64_t limit, double scale, double shift, double dropped) {
    if (x.size() == 0) return;
    pointwise::by_float(x.dtype, "drop", [&]<class S>() {
        using C = pointwise::Computed<S>;
        const Drop<C> d(x.shape[0], x.shape[1], seed, first_block, limit, scale, shift, dropped);
        const bool aligned = in_fours<S>(y) && in_fours<S>(x), rows = d.run > 1;
        const auto kernel = aligned && !rows ? drop_fours<S, C> : aligned && d.run % 4 == 0 ? drop<S, C, 4> : drop<S, C, 1>;
        launch(kernel, blocks_for(x.size()), THREADS, 0, current_stream, y.ptr<S>(), x.ptr<const S>(), d);
    });
}
TG_KERNEL(drop, "cuda/v00_philox", TG_FLOATS, run)

}  // namespace tg::dropout
