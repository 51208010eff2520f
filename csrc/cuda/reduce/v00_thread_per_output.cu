// The idea: one thread per result walks over the elements it is made of: the definition.
// Before it: nothing; this is the rung the others are measured against.
// Ownership: thread i owns result i.
// Bottleneck: sums of rows: each lane reads another row, a sector of 32 bytes an element; few results keep few threads busy.
// Measure: python -m tensorgrad lab sum --kernel cuda/v00_thread_per_output
#include "operations.h"

namespace tg::reduce {

template <class State, class S> __global__ void reduce_thread(const __grid_constant__ Problem p) {
    const unsigned o = blockIdx.x * blockDim.x + threadIdx.x;
    if (o >= p.outer.count) return;
    const S* x = reinterpret_cast<const S*>(p.x) + p.outer.place(o);
    State state;
    for (unsigned i = 0; i < p.inner.count; ++i) state.take(x[p.inner.place(i)], i);
    state.end(p, o);
}

struct ThreadPerOutput {
    template <class State, class S> static void run(const Problem& p) {
        launch(reduce_thread<State, S>, ceil_div(p.outer.count, 128), 128, 0, current_stream, p);
    }
};
TG_SUMS(ThreadPerOutput, "cuda/v00_thread_per_output")
TG_CHOICES(ThreadPerOutput, "cuda/v00_thread_per_output")

}  // namespace tg::reduce
