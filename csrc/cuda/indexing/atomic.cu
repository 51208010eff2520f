// The idea: entries need no order if the memory adds: a thread takes an element of an entry and adds it to its place with an atomic.
// Before it (v01): a sort, then one thread for each place.
// Ownership: a thread owns one element of an entry. Places belong to nobody: who comes first adds first, and sums of floats depend on that,
// so this rung is not deterministic. It runs where it is asked for by name, and use_deterministic_algorithms(True) refuses it.
// Bottleneck: entries of one place queue in the L2 cache, one behind the other; sums are rounded at every term.
// Measure: python -m tensorgrad lab accumulate --kernel cuda/atomic --shape 40x33 --shape 200:int64:0:40 --shape 200x33
#include "adding.h"

namespace tg::indexing {

constexpr const char* ATOMIC = "float32 float64";  // half precision would be rounded at every term

template <class T> __global__ void __launch_bounds__(THREADS) add_entries(T* out, const Entries<T> e) {
    for (int64_t k = first_item(); k < e.count * e.columns; k += items_at_once()) {
        const Split at(k, e.columns);
        atomicAdd(&out[e.to[at.whole] * e.columns + at.rest], T(e.term(at.whole, at.rest)));
    }
}

template <class T> __global__ void __launch_bounds__(THREADS) zero(T* out, int64_t count) {
    for (int64_t k = first_item(); k < count; k += items_at_once()) out[k] = T(0);
}

template <class T> void add(Array& out, const Entries<T>& e) {
    if (e.count > 0 && e.columns > 0) launch(add_entries<T>, blocks_for(e.count * e.columns), THREADS, 0, current_stream, out.ptr<T>(), e);
}

void add_rows_atomic(Array& out, const Array&, const Array&, const Array& table, const Array& from, const Array& to, const Array& scale) {
    if (out.size() == 0) return;
    dispatch_float(out.dtype, "add_rows", [&]<class T>() {
        launch(zero<T>, blocks_for(out.size()), THREADS, 0, current_stream, out.ptr<T>(), out.size());
        add(out, entries_of<T>(table, from, to, scale));
    });
}

void accumulate_atomic(Array& out, const Array& index, const Array& source, const Array&, const Array&) {
    dispatch_float(out.dtype, "accumulate", [&]<class T>() { add(out, entries_of<T>(source, index)); });
}

template <class T, class Out> __global__ void __launch_bounds__(THREADS)
    add_elements(const Columns<Out> out, const Columns<const int64_t> index, const Columns<const T> source, int64_t count) {
    for (int64_t k = first_item(); k < count; k += items_at_once()) {
        const Split inner(k, index.inner), outer(inner.whole, index.n);
        atomicAdd(&out.at(outer.whole, index.at(outer.whole, outer.rest, inner.rest), inner.rest),
                  Out(widened(source.at(outer.whole, outer.rest, inner.rest))));
    }
}

void scatter_add_atomic(Array& out, const Array& index, const Array& source) {
    if (index.size() == 0) return;
    by_float_types(out, source, [&]<class T, class Out>() {
        launch(add_elements<T, Out>, blocks_for(index.size()), THREADS, 0, current_stream, Columns<Out>(out), Columns<const int64_t>(index),
               Columns<const T>(source), index.size());
    });
}

TG_KERNEL(add_rows, "cuda/atomic", ATOMIC, add_rows_atomic, Chips{}, NOT_DETERMINISTIC)
TG_KERNEL(accumulate, "cuda/atomic", ATOMIC, accumulate_atomic, Chips{}, NOT_DETERMINISTIC)
TG_KERNEL(scatter_add, "cuda/atomic", FLOATS, scatter_add_atomic, Chips{}, NOT_DETERMINISTIC)

}  // namespace tg::indexing
