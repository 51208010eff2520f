// A kernel of an optimizer's op is made of its step (formulas/optimizer.h) and of a way to go over the parameters:
// TG_KERNEL(adam_step, "cpu/fused", types, StepKernel<steps::Adam>::run<Fused>) calls Fused::run<steps::Adam>(what, numbers...).
// The last number is `held`: the address where the launch finds its step, for a graph, whose launches keep the numbers they were captured
// with. A call without gradients puts there the step that its numbers make. Where it is 0 a launch has the step of its call.
#pragma once
#include <utility>

#include "formulas/optimizer.h"
#include "registry.h"

namespace tg {

// Lists of equal length. `master` and each of the states may be missing; with a master the parameter is a rounded copy of it.
template <int STATES> struct Parameters {
    const Arrays &p, &master, &g;
    const Arrays* const (&s)[STATES];
    int64_t held;

    bool has(int state) const { return s[state]->count > 0; }
    template <class Step, class... Numbers> Step step(Numbers... n) const {
        bool there[STATES];
        for (int j = 0; j < STATES; ++j) there[j] = has(j);
        return Step::make(there, n...);
    }
};

template <template <class> class Step, class = std::make_index_sequence<Step<float>::STATES>, class = decltype(&Step<float>::make)>
struct StepKernel;
template <template <class> class Step, size_t... I, class... N>
struct StepKernel<Step, std::index_sequence<I...>, Step<float> (*)(const bool (&)[sizeof...(I)], N...)> {
    template <size_t> using State = Arrays;
    template <class Way> static void run(Arrays& p, Arrays& master, const Arrays& g, State<I>&... s, N... numbers, int64_t held) {
        const Arrays* const states[] = {&s...};
        Way::template run<Step>(Parameters<int(sizeof...(I))>{p, master, g, states, held}, numbers...);
    }
};

}  // namespace tg
