// The idea: what stands around dropout in a Transformer, the bias before it and the residual stream behind it, is part of the same pass.
// Before it (v00): three kernels, which write and read the biased and the dropped array once each. The bits are the same.
// Ownership: a thread owns the four elements of a block of the stream, and then those a whole grid further on.
// Bottleneck: bandwidth of memory: x and the residual once, y once; the bias comes from the caches.
// Measure: python -m tensorgrad lab drop_add --kernel cuda/v01_residual
#include "philox.h"

namespace tg::dropout {

// y = residual + dropped (x + bias) over a line of d.rows elements; the bias (n), where there is one, begins anew every n.
template <class S, class C, bool FOURS>
__global__ void __launch_bounds__(THREADS) drop_add(S* y, const S* x, const S* residual, const S* bias, int64_t n, const __grid_constant__ Drop<C> given) {
    const Drop<C> d = given.drawn();
    const int64_t step = gridDim.x * int64_t(THREADS) * 4;
    for (int64_t at = (blockIdx.x * int64_t(THREADS) + threadIdx.x) * 4; at < d.rows; at += step) {
        const uint4 word = philox(d.seed, uint64_t(d.first_block + at / 4));
        const unsigned words[4] = {word.x, word.y, word.z, word.w};
        const int64_t column = bias ? at % n : 0;
        if (FOURS && at + 4 <= d.rows) {
            Neighbours<S, 4> own = *reinterpret_cast<const Neighbours<S, 4>*>(x + at), beside = *reinterpret_cast<const Neighbours<S, 4>*>(residual + at), added{};
            if (bias) added = *reinterpret_cast<const Neighbours<S, 4>*>(bias + column);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const C sum = bias ? C(own.at[i]) + C(added.at[i]) : C(own.at[i]);
                own.at[i] = S(C(beside.at[i]) + d.of(sum, words[i]));
            }
            *reinterpret_cast<Neighbours<S, 4>*>(y + at) = own;
            continue;
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if (at + i >= d.rows) break;
            const C sum = bias ? C(x[at + i]) + C(bias[(column + i) % n]) : C(x[at + i]);
            y[at + i] = S(C(residual[at + i]) + d.of(sum, words[i]));
        }
    }
}

// y, x, residual (rows, n), bias (n) or None; an element is kept where its word is below `limit`, from 0 to 2^32.
void run_add(Array& y, const Array& x, const Array& residual, const Array& bias, int64_t seed, int64_t first_block, int64_t limit, double scale) {
    if (x.size() == 0) return;
    pointwise::by_float(x.dtype, "drop_add", [&]<class S>() {
        using C = pointwise::Computed<S>;
        const Drop<C> d(x.size(), 1, seed, first_block, limit, scale, 0, 0);
        const bool fours = in_fours<S>(y) && in_fours<S>(x) && in_fours<S>(residual) && (!bias || (in_fours<S>(bias) && x.shape[1] % 4 == 0));
        launch(fours ? drop_add<S, C, true> : drop_add<S, C, false>, blocks_for(x.size()), THREADS, 0, current_stream, y.ptr<S>(), x.ptr<const S>(),
               residual.ptr<const S>(), bias.ptr<const S>(), x.shape[1], d);
    });
}
TG_KERNEL(drop_add, "cuda/v01_residual", TG_FLOATS, run_add)

}  // namespace tg::dropout
