// The idea: runs are cut into pieces of at most so many entries; pieces are added up side by side, and then the pieces of a run in order.
// Before it (v01): a place with most of the entries was one thread's walk, however long.
// Ownership: a thread owns a column of a piece, and, where a run has several, a second launch's thread a column of the run.
// Bottleneck: bandwidth of memory; long runs write and read a sum for each piece besides. Where pieces begin depends on the entries alone.
// Measure: python -m tensorgrad lab accumulate --kernel cuda/v02_pieces --shape 40x33 --shape 200:int64:0:2 --shape 200x33
#include "adding.h"

namespace tg::indexing {

// Piece p is a part of run run[p]; those of run r are first[r] to first[r + 1]. The runs that have several, `several` of them, keep the
// sums of theirs in `parts`, from part[r] on.
struct Pieces {
    const int64_t *order, *bound, *run, *first, *part, *several;
    double* parts;
    int64_t count, several_count, length;
};

template <class T> __device__ __forceinline__ T& place_of(T* out, const Entries<T>& e, const Pieces& p, int64_t run, int64_t column, bool adds) {
    return out[(adds ? e.to[p.order[p.bound[run]]] : run) * e.columns + column];
}

template <class T> __global__ void __launch_bounds__(THREADS)
    add_pieces(T* out, const Entries<T> e, const __grid_constant__ Pieces pieces, bool adds) {
    for (int64_t k = first_item(); k < pieces.count * e.columns; k += items_at_once()) {
        const Split at(k, e.columns);
        const int64_t run = pieces.run[at.whole], nth = at.whole - pieces.first[run], begin = pieces.bound[run] + nth * pieces.length;
        const int64_t end = begin + pieces.length < pieces.bound[run + 1] ? begin + pieces.length : pieces.bound[run + 1];
        const bool whole = pieces.first[run + 1] - pieces.first[run] == 1;
        Sum<T> sum = adds && whole ? widened(place_of(out, e, pieces, run, at.rest, adds)) : Sum<T>(0);
        for (int64_t q = begin; q < end; ++q) sum += e.term(pieces.order[q], at.rest);
        if (whole) place_of(out, e, pieces, run, at.rest, adds) = rounded<T>(sum);
        else pieces.parts[(pieces.part[run] + nth) * e.columns + at.rest] = double(sum);
    }
}

template <class T> __global__ void __launch_bounds__(THREADS)
    add_parts(T* out, const Entries<T> e, const __grid_constant__ Pieces pieces, bool adds) {
    for (int64_t k = first_item(); k < pieces.several_count * e.columns; k += items_at_once()) {
        const Split at(k, e.columns);
        const int64_t run = pieces.several[at.whole], count = pieces.first[run + 1] - pieces.first[run];
        T& place = place_of(out, e, pieces, run, at.rest, adds);
        double sum = adds ? double(widened(place)) : 0.0;
        for (int64_t j = 0; j < count; ++j) sum += pieces.parts[(pieces.part[run] + j) * e.columns + at.rest];
        place = rounded<T>(Sum<T>(sum));
    }
}

template <class T> void add(Array& out, const Entries<T>& e, const Pieces& pieces, bool adds) {
    if (pieces.count * e.columns == 0) return;
    launch(add_pieces<T>, blocks_for(pieces.count * e.columns), THREADS, 0, current_stream, out.ptr<T>(), e, pieces, adds);
    if (pieces.several_count > 0)
        launch(add_parts<T>, blocks_for(pieces.several_count * e.columns), THREADS, 0, current_stream, out.ptr<T>(), e, pieces, adds);
}

Pieces pieces_of(const Array& order, const Array& bound, Array& parts, const Array& run, const Array& first, const Array& part, const Array& several,
                 int64_t length) {
    return {order.ptr<int64_t>(), bound.ptr<int64_t>(), run.ptr<int64_t>(), first.ptr<int64_t>(), part.ptr<int64_t>(), several.ptr<int64_t>(),
            parts.ptr<double>(), run.size(), several.size(), length};
}

void add_rows_in_pieces(Array& out, const Array& bound, const Array& order, const Array& table, const Array& from, const Array& to, const Array& scale,
                        Array& parts, const Array& run, const Array& first, const Array& part, const Array& several, int64_t length) {
    device::by_dtype(out.dtype, [&]<class T>() {
        add(out, entries_of<T>(table, from, to, scale), pieces_of(order, bound, parts, run, first, part, several, length), false);
    });
}

void accumulate_in_pieces(Array& out, const Array& index, const Array& source, const Array& order, const Array& bound, Array& parts,
                          const Array& run, const Array& first, const Array& part, const Array& several, int64_t length) {
    device::by_dtype(out.dtype, [&]<class T>() {
        add(out, entries_of<T>(source, index), pieces_of(order, bound, parts, run, first, part, several, length), true);
    });
}

TG_KERNEL(add_rows, "cuda/v02_pieces", FLOATS, add_rows_in_pieces)
TG_KERNEL(accumulate, "cuda/v02_pieces", FLOATS, accumulate_in_pieces)

}  // namespace tg::indexing
