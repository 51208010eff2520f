// What the rungs share: which types a step is compiled for, and the step of one element.
//
// T is what parameter and gradient hold, S what the state holds. Half-precision parameters come with a master copy and state in float
// (S = float), or alone (S = T); both are computed in float.
#pragma once
#include "../../core/steps.h"
#include "../../device/element.cuh"

namespace tg::optimizer {

constexpr int THREADS = 256;
constexpr int HELD = 256;  // bytes that tensorgrad/ops/shared/stepping.py keeps for a step

using device::FLOATS;
using device::Wide;

// Where the arrays of one parameter begin; a state that is missing is null.
template <class T, class S, int STATES> struct Places {
    T* p;
    S* master;
    const T* g;
    S* s[STATES];
};

template <class T, class S, int STATES, class Step> __device__ __forceinline__ void update(const Places<T, S, STATES>& at, int64_t i, const Step& step) {
    using C = Wide<S>;
    constexpr bool MASTER = sizeof(T) != sizeof(S);
    C s[STATES];
#pragma unroll
    for (int j = 0; j < STATES; ++j) s[j] = at.s[j] ? static_cast<C>(at.s[j][i]) : C(0);
    const C p = step(MASTER ? static_cast<C>(at.master[i]) : static_cast<C>(at.p[i]), static_cast<C>(at.g[i]), s);
    at.p[i] = static_cast<T>(p);
    if (MASTER) at.master[i] = static_cast<S>(p);
#pragma unroll
    for (int j = 0; j < STATES; ++j)
        if (at.s[j]) at.s[j][i] = static_cast<S>(s[j]);
}

// The step that a launch makes: its own, or the one that lies in memory.
template <class Step> __device__ __forceinline__ Step step_of(const Step& own, const Step* held) { return held ? *held : own; }

template <class Step> __global__ void hold(Step* held, const Step step) { *held = step; }

// Whether the call was but to put the step where a graph finds it.
template <class Step, int STATES> bool held_only(const Parameters<STATES>& all, const Step& step) {
    static_assert(sizeof(Step) <= HELD);
    if (!all.held || all.g) return false;
    launch(hold<Step>, 1, 1, 0, current_stream, reinterpret_cast<Step*>(all.held), step);
    return true;
}

// f.operator()<T, S>() for the parameters of a call, which are all of one dtype.
template <int STATES, class F> void by_types(const Parameters<STATES>& all, F&& f) {
    device::by_dtype(all.p[0].dtype, [&]<class T>() {
        if constexpr (sizeof(T) == 2)
            if (all.master) return f.template operator()<T, float>();
        return f.template operator()<T, T>();
    });
}

}  // namespace tg::optimizer
