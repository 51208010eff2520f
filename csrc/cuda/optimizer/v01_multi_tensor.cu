// The idea: one launch for all parameters: a table of their places is its argument, and a block takes a chunk of one of them, 16 bytes a load.
// Before it (v00): a launch for each parameter, an element a thread.
// Ownership: thread t of a chunk's block owns packs t, t + 256, ... of the chunk, and the last elements that are no whole pack, one each.
// Bottleneck: bandwidth of memory: Adam of fp32 reads 16 bytes and writes 12 for each parameter.
// Measure: python -m tensorgrad lab adagrad_step --kernel cuda/v01_multi_tensor --shape 4099 --shape 4099 --shape 4099
#include "table.h"

namespace tg::optimizer {

using device::PACK;

// V elements from `at` on, in pieces of 16 bytes.
template <int V, class S> __device__ __forceinline__ void load(Wide<S> (&to)[V], const S* at) {
#pragma unroll
    for (int i = 0; i < V; i += PACK<S>) device::load_pack<S>(reinterpret_cast<Wide<S>(&)[PACK<S>]>(to[i]), at + i);
}
template <int V, class S> __device__ __forceinline__ void store(S* at, const Wide<S> (&from)[V]) {
#pragma unroll
    for (int i = 0; i < V; i += PACK<S>) device::store_pack<S>(at + i, reinterpret_cast<const Wide<S>(&)[PACK<S>]>(from[i]));
}

template <class T, class S, class Step> __global__ void __launch_bounds__(THREADS)
    multi_tensor(const __grid_constant__ Table<3 + Step::STATES> table, const Step own, const Step* held) {
    using C = Wide<S>;
    constexpr int V = PACK<T>, STATES = Step::STATES;
    constexpr bool MASTER = sizeof(T) != sizeof(S);
    const Step step = step_of(own, held);
    const Chunk chunk = chunk_of<THREADS * V * ROUNDS>(table);
    const int e = chunk.entry;
    Places<T, S, STATES> at{static_cast<T*>(table.at[0][e]) + chunk.begin, static_cast<S*>(table.at[1][e]) + (MASTER ? chunk.begin : 0),
                            static_cast<const T*>(table.at[2][e]) + chunk.begin, {}};
#pragma unroll
    for (int j = 0; j < STATES; ++j) at.s[j] = table.at[3 + j][e] ? static_cast<S*>(table.at[3 + j][e]) + chunk.begin : nullptr;

    const int packs = table.packed[e] ? chunk.length / V : 0;
    for (int pack = int(threadIdx.x); pack < packs; pack += THREADS) {
        const int i = pack * V;
        C p[V], g[V], s[STATES][V] = {};
        load<V>(g, at.g + i);
        if constexpr (MASTER) load<V>(p, at.master + i);
        else load<V>(p, at.p + i);
#pragma unroll
        for (int j = 0; j < STATES; ++j)
            if (at.s[j]) load<V>(s[j], at.s[j] + i);
#pragma unroll
        for (int v = 0; v < V; ++v) {
            C own[STATES];
#pragma unroll
            for (int j = 0; j < STATES; ++j) own[j] = s[j][v];
            p[v] = step(p[v], g[v], own);
#pragma unroll
            for (int j = 0; j < STATES; ++j) s[j][v] = own[j];
        }
        store<V>(at.p + i, p);
        if constexpr (MASTER) store<V>(at.master + i, p);
#pragma unroll
        for (int j = 0; j < STATES; ++j)
            if (at.s[j]) store<V>(at.s[j] + i, s[j]);
    }
    for (int i = packs * V + int(threadIdx.x); i < chunk.length; i += THREADS) update(at, i, step);
}

struct MultiTensor {
    template <template <class> class Step, int STATES, class... N> static void run(const Parameters<STATES>& all, N... numbers) {
        if (!all.p) return;
        by_types(all, [&]<class T, class S>() {
            const auto step = all.template step<Step<Wide<S>>>(numbers...);
            if (held_only(all, step)) return;
            const auto place = [&](int64_t k, int slot) -> void* {
                if (slot == 0) return all.p[k].data;
                if (slot == 1) return all.master ? all.master[k].data : nullptr;
                if (slot == 2) return all.g[k].data;
                return all.has(slot - 3) ? (*all.s[slot - 3])[k].data : nullptr;
            };
            with_tables<3 + STATES, THREADS * PACK<T> * ROUNDS>(
                all.p.count, [&](int64_t k) { return all.p[k].size(); }, place, [&](const Table<3 + STATES>& table, unsigned blocks) {
                    launch(multi_tensor<T, S, Step<Wide<S>>>, blocks, THREADS, 0, current_stream, table, step,
                           reinterpret_cast<const Step<Wide<S>>*>(all.held));
                });
        });
    }
};

TG_KERNEL(sgd_step, "cuda/v01_multi_tensor", FLOATS, StepKernel<steps::Sgd>::run<MultiTensor>)
TG_KERNEL(adam_step, "cuda/v01_multi_tensor", FLOATS, StepKernel<steps::Adam>::run<MultiTensor>)
TG_KERNEL(rmsprop_step, "cuda/v01_multi_tensor", FLOATS, StepKernel<steps::Rmsprop>::run<MultiTensor>)
TG_KERNEL(adagrad_step, "cuda/v01_multi_tensor", FLOATS, StepKernel<steps::Adagrad>::run<MultiTensor>)
TG_KERNEL(adadelta_step, "cuda/v01_multi_tensor", FLOATS, StepKernel<steps::Adadelta>::run<MultiTensor>)
TG_KERNEL(adamax_step, "cuda/v01_multi_tensor", FLOATS, StepKernel<steps::Adamax>::run<MultiTensor>)
TG_KERNEL(nadam_step, "cuda/v01_multi_tensor", FLOATS, StepKernel<steps::Nadam>::run<MultiTensor>)
TG_KERNEL(radam_step, "cuda/v01_multi_tensor", FLOATS, StepKernel<steps::Radam>::run<MultiTensor>)
TG_KERNEL(rprop_step, "cuda/v01_multi_tensor", FLOATS, StepKernel<steps::Rprop>::run<MultiTensor>)
TG_KERNEL(asgd_step, "cuda/v01_multi_tensor", FLOATS, StepKernel<steps::Asgd>::run<MultiTensor>)

}  // namespace tg::optimizer
