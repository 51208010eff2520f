// The idea: a block per result; its threads share the elements, then add up in pairs through shared memory, half as many each time.
// Before it (v00): a thread per result; now neighbouring lanes read neighbouring elements of a row, and every result has 256 threads.
// Ownership: thread t takes elements t, t + 256, ...; in round r thread t < 2^r merges the state 2^r further on into its own.
// Bottleneck: eight barriers a result, at the last of which one thread works; short rows leave most threads without an element.
// Measure: python -m tensorgrad lab sum --kernel cuda/v01_block_tree
#include "operations.h"

namespace tg::reduce {

constexpr unsigned TREE = 256, MOST_BLOCKS = 1 << 20;

template <class State, class S> __global__ void __launch_bounds__(TREE) reduce_tree(const __grid_constant__ Problem p) {
    DYNAMIC_SHARED(State, states);
    const unsigned t = threadIdx.x;
    for (unsigned o = blockIdx.x; o < p.outer.count; o += gridDim.x) {
        const S* x = reinterpret_cast<const S*>(p.x) + p.outer.place(o);
        State own;
        for (unsigned i = t; i < p.inner.count; i += TREE) own.take(x[p.inner.place(i)], i);
        states[t] = own;
        for (unsigned half = TREE / 2; half > 0; half /= 2) {
            __syncthreads();
            if (t < half) states[t].merge(states[t + half]);
        }
        if (t == 0) states[0].end(p, o);
        __syncthreads();  // before the next result's states
    }
}

struct BlockTree {
    template <class State, class S> static void run(const Problem& p) {
        const unsigned blocks = p.outer.count < MOST_BLOCKS ? p.outer.count : MOST_BLOCKS;
        launch(reduce_tree<State, S>, blocks, TREE, TREE * sizeof(State), current_stream, p);
    }
};
TG_SUMS(BlockTree, "cuda/v01_block_tree")
TG_CHOICES(BlockTree, "cuda/v01_block_tree")

}  // namespace tg::reduce
