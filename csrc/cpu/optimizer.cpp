// Optimizer steps, each one pass over memory per parameter: gradient, state and parameter are read once and written once.
// Element i is computed from element i of each array alone, so threads and vector width do not change the result.
#include <cstring>

#include "../core/parallel.h"
#include "../core/steps.h"

namespace tg {
namespace {

// f(i) for every element, in vectors, on all threads where that pays. Each thread works on a copy of f that nothing else can
// see: the compiler then knows that no store changes the numbers in it, and vectorises.
template <class F> void each(int64_t n, const F& shared) {
    parallel_ranges(n, n, [&](int64_t begin, int64_t end) {
        const F f = shared;
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) f(i);
    });
}

template <class T, int STATES> struct Pointers {
    T* p;
    const T* g;
    T* s[STATES];
};

// One parameter; a bit of HAS for each state that is there.
template <unsigned HAS, class T, class Step, int STATES, size_t... J>
void one(int64_t n, const Pointers<T, STATES>& to, const Step& step, std::index_sequence<J...>) {
    each(n, [=](int64_t i) {
        T s[STATES] = {(HAS >> J & 1 ? to.s[J][i] : T(0))...};
        to.p[i] = step(to.p[i], to.g[i], s);
        ((HAS >> J & 1 ? void(to.s[J][i] = s[J]) : void()), ...);
    });
}

// `one` for the states there are: a loop of its own for each combination.
template <unsigned HAS, int J, class T, class Step, int STATES>
void with_states(int64_t n, const Pointers<T, STATES>& to, const Step& step) {
    if constexpr (J == STATES) return one<HAS>(n, to, step, std::make_index_sequence<STATES>{});
    else if constexpr (Step::NEEDED >> J & 1) return with_states<(HAS | 1u << J), J + 1>(n, to, step);
    else if (to.s[J]) return with_states<(HAS | 1u << J), J + 1>(n, to, step);
    else return with_states<HAS, J + 1>(n, to, step);
}

struct Fused {
    template <template <class> class Step, int STATES, class... N> static void run(const Parameters<STATES>& all, N... numbers) {
        for (int64_t k = 0; k < all.p.count; ++k) {
            const Array& p = all.p[k];
            dispatch_float(p.dtype, "the step", [&]<class T>() {
                Pointers<T, STATES> to{all.master ? all.master[k].template ptr<T>() : p.template ptr<T>(), all.g[k].template ptr<T>(), {}};
                for (int j = 0; j < STATES; ++j) to.s[j] = all.has(j) ? (*all.s[j])[k].template ptr<T>() : nullptr;
                with_states<0, 0>(p.size(), to, all.template step<Step<T>>(numbers...));
                if (all.master) std::memcpy(p.data, to.p, size_t(p.size()) * sizeof(T));
            });
        }
    }
};

TG_KERNEL(sgd_step, "cpu/fused", "float32 float64", StepKernel<steps::Sgd>::run<Fused>)
TG_KERNEL(adam_step, "cpu/fused", "float32 float64", StepKernel<steps::Adam>::run<Fused>)
TG_KERNEL(rmsprop_step, "cpu/fused", "float32 float64", StepKernel<steps::Rmsprop>::run<Fused>)
TG_KERNEL(adagrad_step, "cpu/fused", "float32 float64", StepKernel<steps::Adagrad>::run<Fused>)
TG_KERNEL(adadelta_step, "cpu/fused", "float32 float64", StepKernel<steps::Adadelta>::run<Fused>)
TG_KERNEL(adamax_step, "cpu/fused", "float32 float64", StepKernel<steps::Adamax>::run<Fused>)
TG_KERNEL(nadam_step, "cpu/fused", "float32 float64", StepKernel<steps::Nadam>::run<Fused>)
TG_KERNEL(radam_step, "cpu/fused", "float32 float64", StepKernel<steps::Radam>::run<Fused>)
TG_KERNEL(rprop_step, "cpu/fused", "float32 float64", StepKernel<steps::Rprop>::run<Fused>)
TG_KERNEL(asgd_step, "cpu/fused", "float32 float64", StepKernel<steps::Asgd>::run<Fused>)

}  // namespace
}  // namespace tg
