// What the rungs of the recurrent cells share: what a step is given, for rows of H units with their gates one after the other.
// The cells themselves are csrc/core/formulas/cells.h. Every array is contiguous; rows of 16 bytes' worth of units may be moved so.
#pragma once
#include <initializer_list>

#include "../../core/registry.h"
#include "../../device/packs.cuh"
#include "../pointwise/formulas.h"

namespace tg::rnn {

using device::Wide;
namespace math = pointwise::math;

#define TG_INLINE __device__ __forceinline__
#include "../../core/formulas/cells.h"

template <class T> struct Forward {
    T* h;
    Wide<T>* c;  // lstm
    T* kept;     // may be missing
    const T *gx, *gh, *h_before;
    const Wide<T>* c_before;
    int64_t rows;
    int H;
};

template <class T> struct Backward {
    T *dgx, *dgh;    // dgh: gru, where it is another
    Wide<T>* carry;  // not rnn
    const T *dy, *dh, *kept, *h, *h_before;  // dh: what came back through the product; none at the last step
    const Wide<T> *c, *c_before;
    int64_t rows;
    int H;
};

inline bool all_aligned(std::initializer_list<const void*> pointers) {
    for (const void* p : pointers)
        if (!device::aligned_16(p)) return false;
    return true;
}

template <class Rung> void step(Array& h, Array& c, Array& kept, const Array& gx, const Array& gh, const Array& h_before, const Array& c_before,
                                int64_t cell_number) {
    if (h.size() == 0) return;
    device::by_dtype(h.dtype, [&]<class T>() {
        using A = Wide<T>;
        const Forward<T> p{h.ptr<T>(), c.ptr<A>(), kept.ptr<T>(), gx.ptr<T>(), gh.ptr<T>(), h_before.ptr<T>(), c_before.ptr<A>(), h.shape[0],
                           device::length_of(h.shape[1], "a state")};
        const bool packed = p.H % device::PACK<T> == 0 && all_aligned({p.h, p.c, p.kept, p.gx, p.gh, p.h_before, p.c_before});
        by_cell<A, A>(cell_number, [&](auto cell) { Rung::solve(p, cell, packed); });
    });
}

template <class Rung> void step_backward(Array& dgx, Array& dgh, Array& carry, const Array& dy, const Array& dh, const Array& kept, const Array& h,
                                         const Array& h_before, const Array& c, const Array& c_before, int64_t cell_number) {
    if (dy.size() == 0) return;
    device::by_dtype(dy.dtype, [&]<class T>() {
        using A = Wide<T>;
        const Backward<T> p{dgx.ptr<T>(), dgh.ptr<T>(), carry.ptr<A>(), dy.ptr<T>(), dh.ptr<T>(), kept.ptr<T>(), h.ptr<T>(), h_before.ptr<T>(),
                            c.ptr<A>(), c_before.ptr<A>(), dy.shape[0], device::length_of(dy.shape[1], "a state")};
        const bool packed =
            p.H % device::PACK<T> == 0 && all_aligned({p.dgx, p.dgh, p.carry, p.dy, p.dh, p.kept, p.h, p.h_before, p.c, p.c_before});
        by_cell<A, A>(cell_number, [&](auto cell) { Rung::solve(p, cell, packed); });
    });
}

#define RNN_RUNG(path, Rung)                                      \
    TG_KERNEL(recurrence, path, device::FLOATS, step<Rung>)       \
    TG_KERNEL(recurrence_backward, path, device::FLOATS, step_backward<Rung>)

}  // namespace tg::rnn
