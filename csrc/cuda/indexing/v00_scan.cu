// The idea: each place looks through all entries for its own and adds them up.
// Before it: nothing. This is the definition.
// Ownership: a thread owns one element of the result and nobody else writes it, so nothing has to be kept apart.
// Bottleneck: places times entries: every index is read once for each place. Good for a handful of places only.
// Measure: python -m tensorgrad lab accumulate --kernel cuda/v00_scan --shape 40x33 --shape 200:int64:0:40 --shape 200x33
#include "adding.h"

namespace tg::indexing {

template <class T> __global__ void __launch_bounds__(THREADS) scan_rows(T* out, const Entries<T> e, int64_t rows, bool adds) {
    for (int64_t k = first_item(); k < rows * e.columns; k += items_at_once()) {
        const Split at(k, e.columns);
        Sum<T> sum = adds ? widened(out[k]) : Sum<T>(0);
        for (int64_t p = 0; p < e.count; ++p)
            if (e.to[p] == at.whole) sum += e.term(p, at.rest);
        out[k] = rounded<T>(sum);
    }
}

template <class T> void scan(Array& out, const Entries<T>& e, bool adds) {
    if (out.size() == 0) return;
    launch(scan_rows<T>, blocks_for(out.size()), THREADS, 0, current_stream, out.ptr<T>(), e, out.shape[0], adds);
}

void add_rows_scanning(Array& out, const Array&, const Array&, const Array& table, const Array& from, const Array& to, const Array& scale) {
    device::by_dtype(out.dtype, [&]<class T>() { scan(out, entries_of<T>(table, from, to, scale), false); });
}

void accumulate_scanning(Array& out, const Array& index, const Array& source, const Array&, const Array&) {
    by_number(out.dtype, [&]<class T>() { scan(out, entries_of<T>(source, index), true); });
}

template <class T, class Out> __global__ void __launch_bounds__(THREADS)
    scan_columns(const Columns<Out> out, const Columns<const int64_t> index, const Columns<const T> source, int64_t count) {
    for (int64_t k = first_item(); k < count; k += items_at_once()) {
        const Split inner(k, out.inner), outer(inner.whole, out.n);
        Sum<Out> sum = 0;
        for (int64_t m = 0; m < index.n; ++m)
            if (index.at(outer.whole, m, inner.rest) == outer.rest) sum += widened(source.at(outer.whole, m, inner.rest));
        Out& place = out.at(outer.whole, outer.rest, inner.rest);
        place = rounded<Out>(widened(place) + sum);
    }
}

void scatter_add_scanning(Array& out, const Array& index, const Array& source) {
    if (out.size() == 0) return;
    by_types(out, source, [&]<class T, class Out>() {
        launch(scan_columns<T, Out>, blocks_for(out.size()), THREADS, 0, current_stream, Columns<Out>(out), Columns<const int64_t>(index),
               Columns<const T>(source), out.size());
    });
}

TG_KERNEL(add_rows, "cuda/v00_scan", FLOATS, add_rows_scanning)
TG_KERNEL(accumulate, "cuda/v00_scan", NUMBERS, accumulate_scanning)
TG_KERNEL(scatter_add, "cuda/v00_scan", NUMBERS, scatter_add_scanning)

}  // namespace tg::indexing
