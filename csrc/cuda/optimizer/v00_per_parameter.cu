// The idea: a step is element-wise, so a thread takes an element of the parameter, its gradient and its state, and a parameter takes a launch.
// Before it: nothing. This is the definition, the formulas being those of csrc/core/formulas/optimizer.h.
// Ownership: thread i of a launch owns element i of one parameter and of everything that belongs to it, and no other.
// Bottleneck: launches. A model has hundreds of parameters, most of them a few kilobytes: each takes the microseconds of a launch.
// Measure: python -m tensorgrad lab adagrad_step --kernel cuda/v00_per_parameter --shape 4099 --shape 4099 --shape 4099
#include "elements.h"

namespace tg::optimizer {

template <class T, class S, class Step>
__global__ void __launch_bounds__(THREADS) per_parameter(const __grid_constant__ Places<T, S, Step::STATES> at, int64_t n, const Step own, const Step* held) {
    const int64_t i = blockIdx.x * int64_t(THREADS) + threadIdx.x;
    if (i < n) update(at, i, step_of(own, held));
}

struct PerParameter {
    template <template <class> class Step, int STATES, class... N> static void run(const Parameters<STATES>& all, N... numbers) {
        if (!all.p) return;
        by_types(all, [&]<class T, class S>() {
            const auto step = all.template step<Step<Wide<S>>>(numbers...);
            if (held_only(all, step)) return;
            for (int64_t k = 0; k < all.p.count; ++k) {
                const int64_t n = all.p[k].size();
                if (n == 0) continue;
                Places<T, S, STATES> at{all.p[k].template ptr<T>(), all.master ? all.master[k].template ptr<S>() : nullptr,
                                        all.g[k].template ptr<T>(), {}};
                for (int j = 0; j < STATES; ++j) at.s[j] = all.has(j) ? (*all.s[j])[k].template ptr<S>() : nullptr;
                launch(per_parameter<T, S, Step<Wide<S>>>, device::blocks_for(n, THREADS), THREADS, 0, current_stream, at, n, step,
                       reinterpret_cast<const Step<Wide<S>>*>(all.held));
            }
        });
    }
};

TG_KERNEL(sgd_step, "cuda/v00_per_parameter", FLOATS, StepKernel<steps::Sgd>::run<PerParameter>)
TG_KERNEL(adam_step, "cuda/v00_per_parameter", FLOATS, StepKernel<steps::Adam>::run<PerParameter>)
TG_KERNEL(rmsprop_step, "cuda/v00_per_parameter", FLOATS, StepKernel<steps::Rmsprop>::run<PerParameter>)
TG_KERNEL(adagrad_step, "cuda/v00_per_parameter", FLOATS, StepKernel<steps::Adagrad>::run<PerParameter>)
TG_KERNEL(adadelta_step, "cuda/v00_per_parameter", FLOATS, StepKernel<steps::Adadelta>::run<PerParameter>)
TG_KERNEL(adamax_step, "cuda/v00_per_parameter", FLOATS, StepKernel<steps::Adamax>::run<PerParameter>)
TG_KERNEL(nadam_step, "cuda/v00_per_parameter", FLOATS, StepKernel<steps::Nadam>::run<PerParameter>)
TG_KERNEL(radam_step, "cuda/v00_per_parameter", FLOATS, StepKernel<steps::Radam>::run<PerParameter>)
TG_KERNEL(rprop_step, "cuda/v00_per_parameter", FLOATS, StepKernel<steps::Rprop>::run<PerParameter>)
TG_KERNEL(asgd_step, "cuda/v00_per_parameter", FLOATS, StepKernel<steps::Asgd>::run<PerParameter>)

}  // namespace tg::optimizer
