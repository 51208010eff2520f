// What can be reduced: a state that starts empty, takes elements, merges with the state of later elements, and ends as a result.
// Merging goes from left to right in the order of the elements, so the same launch always gives the same bits.
#pragma once
#include <limits>

#include "problem.h"

namespace tg::reduce {

// S is the dtype in memory, C what is computed in. Out is the dtype of the result.
template <class S> constexpr bool INTEGER = std::is_integral_v<S>;

template <class S> struct Sum {
    using Out = std::conditional_t<INTEGER<S>, int64_t, S>;
    using C = std::conditional_t<INTEGER<S>, uint64_t, Computed<S>>;  // integers wrap around
    C sum = 0;
    __device__ void take(S x, unsigned) { sum += C(x); }
    __device__ void merge(const Sum& o) { sum += o.sum; }
    __device__ void end(const Problem& p, unsigned at) const {
        reinterpret_cast<Out*>(p.y)[at] = Out(!INTEGER<S> && p.divide ? C(sum / C(p.number)) : sum);
    }
};

template <class S> struct Product {
    using C = Computed<S>;
    C product = 1;
    __device__ void take(S x, unsigned) { product *= C(x); }
    __device__ void merge(const Product& o) { product *= o.product; }
    __device__ void end(const Problem& p, unsigned at) const { reinterpret_cast<S*>(p.y)[at] = S(product); }
};

// Welford's running mean and squared deviations; two of them merge as Chan, Golub and LeVeque (1979) have it.
template <class S> struct Variance {
    using C = Computed<S>;
    C count = 0, mean = 0, squares = 0;
    __device__ void take(S x, unsigned) {
        count += 1;
        const C off = C(x) - mean;
        mean += off / count;
        squares += off * (C(x) - mean);
    }
    __device__ void merge(const Variance& o) {
        if (o.count == C(0)) return;
        if (count == C(0)) return void(*this = o);
        const C both = count + o.count, off = o.mean - mean, share = o.count / both;
        mean += off * share;
        squares += o.squares + off * off * count * share;
        count = both;
    }
    __device__ void end(const Problem& p, unsigned at) const {
        const C variance = squares / C(p.number);
        reinterpret_cast<S*>(p.y)[at] = S(p.root ? C(std::sqrt(variance)) : variance);
    }
};

// The first of the largest (LARGEST) or smallest elements and its number; NaN comes before all.
template <class S, bool LARGEST> struct Extremum {
    using C = Computed<S>;
    C best = 0;
    unsigned place = ~0u;  // none yet
    __device__ void take(S x, unsigned i) { merge(C(x), i); }
    __device__ void merge(const Extremum& o) {
        if (o.place != ~0u) merge(o.best, o.place);
    }
    __device__ void merge(C x, unsigned i) {
        const bool beats = LARGEST ? x > best : x < best, nan = x != x, was_nan = best != best;
        if (place == ~0u || (nan ? !was_nan || i < place : !was_nan && (beats || (x == best && i < place)))) best = x, place = i;
    }
    __device__ void end(const Problem& p, unsigned at) const {
        if (p.y) reinterpret_cast<S*>(p.y)[at] = S(best);
        if (p.index) p.index[at] = place;
    }
};
template <class S> using Largest = Extremum<S, true>;
template <class S> using Smallest = Extremum<S, false>;

template <class S, bool EVERY> struct Truth {
    int value = EVERY;
    __device__ void take(S x, unsigned) {
        const bool holds = Computed<S>(x) != Computed<S>(0);
        value = EVERY ? value && holds : value || holds;
    }
    __device__ void merge(const Truth& o) { value = EVERY ? value && o.value : value || o.value; }
    __device__ void end(const Problem& p, unsigned at) const { reinterpret_cast<uint8_t*>(p.y)[at] = uint8_t(value); }
};
template <class S> using Any = Truth<S, false>;
template <class S> using All = Truth<S, true>;

// A rung is a struct with a function `template <class State, class S> static void run(const Problem&)`. These are its ops.
template <class Rung> struct Ladder {
    template <template <class> class State> static void floats(const char* op, Problem p, DType dtype, double number) {
        p.number = number;
        if (p.outer.count) pointwise::by_float(dtype, op, [&]<class S>() { Rung::template run<State<S>, S>(p); });
    }
    template <template <class> class State> static void all_types(const char* op, const Problem& p, DType dtype) {
        if (!p.outer.count) return;
        const auto go = [&]<class S>() { Rung::template run<State<S>, S>(p); };
        if (dtype <= DType::bfloat16) pointwise::by_float(dtype, op, go);
        else pointwise::by_integer<true>(dtype, op, go);
    }
    template <template <class> class State> static void extremum(const char* op, Array& y, Array& index, const Array& x, Array& w) {
        Problem p = problem_of(index ? index : y, x, w);
        p.y = y ? y.ptr<char>() : nullptr;
        p.index = index ? index.ptr<int64_t>() : nullptr;
        all_types<State>(op, p, x.dtype);
    }

    static void sum(Array& y, const Array& x, Array& w) { all_types<Sum>("sum", problem_of(y, x, w), x.dtype); }
    static void mean(Array& y, const Array& x, Array& w, double count) {
        Problem p = problem_of(y, x, w);
        p.divide = true;
        floats<Sum>("mean", p, x.dtype, count);
    }
    static void prod(Array& y, const Array& x, Array& w) { floats<Product>("prod", problem_of(y, x, w), x.dtype, 0); }
    static void var(Array& y, const Array& x, Array& w, double divisor) { floats<Variance>("var", problem_of(y, x, w), x.dtype, divisor); }
    static void std(Array& y, const Array& x, Array& w, double divisor) {
        Problem p = problem_of(y, x, w);
        p.root = true;
        floats<Variance>("std", p, x.dtype, divisor);
    }
    static void any(Array& y, const Array& x, Array& w) { all_types<Any>("any", problem_of(y, x, w), x.dtype); }
    static void all(Array& y, const Array& x, Array& w) { all_types<All>("all", problem_of(y, x, w), x.dtype); }
    static void amax(Array& y, const Array& x, Array& w) { Array none; extremum<Largest>("amax", y, none, x, w); }
    static void amin(Array& y, const Array& x, Array& w) { Array none; extremum<Smallest>("amin", y, none, x, w); }
    static void argmax(Array& index, const Array& x, Array& w) { Array none; extremum<Largest>("argmax", none, index, x, w); }
    static void argmin(Array& index, const Array& x, Array& w) { Array none; extremum<Smallest>("argmin", none, index, x, w); }
    static void max_along(Array& y, Array& index, const Array& x, Array& w) { extremum<Largest>("max", y, index, x, w); }
    static void min_along(Array& y, Array& index, const Array& x, Array& w) { extremum<Smallest>("min", y, index, x, w); }
};

#define TG_ALL_TYPES TG_FLOATS " bool " TG_INTEGERS
#define TG_SUMS(Rung, path)                                                                                                      \
    TG_KERNEL(sum, path, TG_ALL_TYPES, Ladder<Rung>::sum)                                                                        \
    TG_KERNEL(mean, path, TG_FLOATS, Ladder<Rung>::mean)                                                                         \
    TG_KERNEL(prod, path, TG_FLOATS, Ladder<Rung>::prod)                                                                         \
    TG_KERNEL(var, path, TG_FLOATS, Ladder<Rung>::var)                                                                           \
    TG_KERNEL(std, path, TG_FLOATS, Ladder<Rung>::std)
#define TG_CHOICES(Rung, path)                                                                                                   \
    TG_KERNEL(any, path, TG_ALL_TYPES, Ladder<Rung>::any)                                                                        \
    TG_KERNEL(all, path, TG_ALL_TYPES, Ladder<Rung>::all)                                                                        \
    TG_KERNEL(amax, path, TG_ALL_TYPES, Ladder<Rung>::amax)                                                                      \
    TG_KERNEL(amin, path, TG_ALL_TYPES, Ladder<Rung>::amin)                                                                      \
    TG_KERNEL(argmax, path, TG_ALL_TYPES, Ladder<Rung>::argmax)                                                                  \
    TG_KERNEL(argmin, path, TG_ALL_TYPES, Ladder<Rung>::argmin)                                                                  \
    TG_KERNEL(max_along, path, TG_ALL_TYPES, Ladder<Rung>::max_along)                                                            \
    TG_KERNEL(min_along, path, TG_ALL_TYPES, Ladder<Rung>::min_along)

}  // namespace tg::reduce
