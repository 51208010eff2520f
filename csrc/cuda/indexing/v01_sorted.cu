// The idea: entries sorted by place, ties in their order, lie side by side: a place finds its own without looking at the others'.
// Before it (v00): every place looked at every entry.
// Ownership: a thread owns one element of a place that has entries, and walks them; lanes are columns. The sort is the op's, by a library.
// Bottleneck: bandwidth of memory, where rows are long and entries spread; one place with most of the entries is one thread's long walk.
// Measure: python -m tensorgrad lab accumulate --kernel cuda/v01_sorted --shape 40x33 --shape 200:int64:0:40 --shape 200x33
#include "adding.h"

namespace tg::indexing {

// Run r of the sorted entries is order[bound[r]] to order[bound[r + 1]]; all its entries go to one place. A run of none does nothing, where it
// adds: a graph has as many runs as entries, as the host does not know how many there are.
struct Runs {
    const int64_t *order, *bound;
    int64_t count;
};

template <class T> __global__ void __launch_bounds__(THREADS) add_runs(T* out, const Entries<T> e, const Runs runs, bool adds) {
    for (int64_t k = first_item(); k < runs.count * e.columns; k += items_at_once()) {
        const Split at(k, e.columns);
        const int64_t first = runs.bound[at.whole], last = runs.bound[at.whole + 1];
        if (adds && first == last) continue;
        T& place = out[(adds ? e.to[runs.order[first]] : at.whole) * e.columns + at.rest];
        Sum<T> sum = adds ? widened(place) : Sum<T>(0);
        for (int64_t q = first; q < last; ++q) sum += e.term(runs.order[q], at.rest);
        place = rounded<T>(sum);
    }
}

template <class T> void add(Array& out, const Entries<T>& e, const Array& order, const Array& bound, bool adds) {
    const Runs runs{order.ptr<int64_t>(), bound.ptr<int64_t>(), bound.size() - 1};
    if (runs.count * e.columns == 0) return;
    launch(add_runs<T>, blocks_for(runs.count * e.columns), THREADS, 0, current_stream, out.ptr<T>(), e, runs, adds);
}

// A run for each row, of no entries too: rows without any are zero.
void add_rows_sorted(Array& out, const Array& bound, const Array& order, const Array& table, const Array& from, const Array& to, const Array& scale) {
    device::by_dtype(out.dtype, [&]<class T>() { add(out, entries_of<T>(table, from, to, scale), order, bound, false); });
}

// A run for each row that has entries: others stay as they are.
void accumulate_sorted(Array& out, const Array& index, const Array& source, const Array& order, const Array& bound) {
    by_number(out.dtype, [&]<class T>() { add(out, entries_of<T>(source, index), order, bound, true); });
}

template <class T, class Out> __global__ void __launch_bounds__(THREADS)
    add_column_runs(const Columns<Out> out, const Columns<const int64_t> index, const Columns<const T> source, const Runs runs) {
    for (int64_t r = first_item(); r < runs.count; r += items_at_once()) {
        if (runs.bound[r] == runs.bound[r + 1]) continue;
        Sum<Out> sum = 0;
        int64_t o = 0, m = 0, i = 0;
        for (int64_t q = runs.bound[r]; q < runs.bound[r + 1]; ++q) {
            const Split inner(runs.order[q], index.inner), outer(inner.whole, index.n);
            o = outer.whole, m = outer.rest, i = inner.rest;
            sum += widened(source.at(o, m, i));
        }
        Out& place = out.at(o, index.at(o, m, i), i);
        place = rounded<Out>(widened(place) + sum);
    }
}

void scatter_add_sorted(Array& out, const Array& index, const Array& source, const Array& order, const Array& bound) {
    const Runs runs{order.ptr<int64_t>(), bound.ptr<int64_t>(), bound.size() - 1};
    by_types(out, source, [&]<class T, class Out>() {
        launch(add_column_runs<T, Out>, blocks_for(runs.count), THREADS, 0, current_stream, Columns<Out>(out), Columns<const int64_t>(index),
               Columns<const T>(source), runs);
    });
}

// y[r, i] = the largest table[from[p], i] of the entries of run r, at[r, i] that row; a bag of none gives 0 and -1.
template <class T> __global__ void __launch_bounds__(THREADS)
    largest_of_runs(T* y, int64_t* at, const T* table, const int64_t* from, const Runs runs, int64_t columns) {
    for (int64_t k = first_item(); k < runs.count * columns; k += items_at_once()) {
        const Split s(k, columns);
        Wide<T> best = 0;
        int64_t place = -1;
        for (int64_t q = runs.bound[s.whole]; q < runs.bound[s.whole + 1]; ++q) {
            const int64_t row = from[runs.order[q]];
            const auto x = static_cast<Wide<T>>(table[row * columns + s.rest]);
            if (place < 0 || x > best || (x != x && best == best)) best = x, place = row;
        }
        y[k] = static_cast<T>(best);
        at[k] = place;
    }
}

void bag_max(Array& y, Array& at, const Array& bound, const Array& order, const Array& table, const Array& from, const Array&) {
    if (y.size() == 0) return;
    const Runs runs{order.ptr<int64_t>(), bound.ptr<int64_t>(), y.shape[0]};
    device::by_dtype(y.dtype, [&]<class T>() {
        launch(largest_of_runs<T>, blocks_for(y.size()), THREADS, 0, current_stream, y.ptr<T>(), at.ptr<int64_t>(), table.ptr<const T>(),
               from.ptr<const int64_t>(), runs, y.shape[1]);
    });
}

TG_KERNEL(add_rows, "cuda/v01_sorted", FLOATS, add_rows_sorted)
TG_KERNEL(accumulate, "cuda/v01_sorted", NUMBERS, accumulate_sorted)
TG_KERNEL(scatter_add, "cuda/v01_sorted", NUMBERS, scatter_add_sorted)
TG_KERNEL(bag_max, "cuda/v01_sorted", FLOATS, bag_max)

}  // namespace tg::indexing
