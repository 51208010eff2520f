// The idea: runs are cut into pieces of at most so many entries; pieces are added up side by side, and then the pieces of a run in order.
// Before it (v01): a place with most of the entries was one thread's walk, however long; a column was 4 bytes a load, and is now 16.
// Ownership: a thread owns 16 bytes of columns (one column of odd rows) of a piece, and, where a run has several, a second launch's of the run.
// Bottleneck: bandwidth of memory; long runs write and read a sum for each piece besides. Where pieces begin depends on the entries alone.
// Measure: python -m tensorgrad lab accumulate --kernel cuda/v02_pieces --shape 40x33 --shape 200:int64:0:2 --shape 200x33
#include "adding.h"

namespace tg::indexing {

// Entries order[begin] to order[end] of one place; the only ones of it where `part` is negative, else the sum goes to row `part` of `parts`.
struct Piece {
    int64_t begin, end, place, part;
};
__device__ inline Piece piece_at(const Piece* pieces, int64_t i) {  // two loads of 16 bytes
    const uint4* raw = reinterpret_cast<const uint4*>(pieces + i);
    const uint4 halves[2] = {raw[0], raw[1]};
    Piece piece;
    memcpy(&piece, halves, sizeof piece);
    return piece;
}
// A place of several pieces, whose sums are rows of `parts`.
struct Merge {
    int64_t place, first, count;
};

struct Pieces {
    const int64_t* order;
    const Piece* pieces;
    const Merge* several;
    double* parts;
    int64_t count, several_count;
};

// What a launch is for: packs of V columns of the pieces, or of the runs that have several, from `from` on. Items are numbered in 32 bits,
// whose division is cheap.
struct Slice {
    int64_t from;
    unsigned items, packs;
};
constexpr int64_t AT_ONCE = 1 << 30;

// V columns at once: one, or 16 bytes.
template <int V, class T> __device__ __forceinline__ void fetch(Wide<T> (&v)[V], const T* from) {
    if constexpr (V == 1) v[0] = static_cast<Wide<T>>(*from);
    else device::load_pack<T>(v, from);
}
template <int V, class T> __device__ __forceinline__ void put(T* to, const Sum<T> (&sum)[V]) {
    Wide<T> v[V];
#pragma unroll
    for (int i = 0; i < V; ++i) v[i] = static_cast<Wide<T>>(sum[i]);
    if constexpr (V == 1) *to = static_cast<T>(v[0]);
    else device::store_pack<T>(to, v);
}
template <int V, class T> __device__ __forceinline__ void start(Sum<T> (&sum)[V], const T* place, bool adds) {
    Wide<T> v[V] = {};
    if (adds) fetch<V>(v, place);
#pragma unroll
    for (int i = 0; i < V; ++i) sum[i] = static_cast<Sum<T>>(v[i]);
}

template <int V, class T> __global__ void __launch_bounds__(THREADS)
    add_pieces(T* out, const Entries<T> e, const __grid_constant__ Pieces pieces, const Slice slice, bool adds) {
    for (unsigned k = unsigned(first_item()); k < slice.items; k += unsigned(items_at_once())) {
        const Piece piece = piece_at(pieces.pieces, slice.from + k / slice.packs);
        const int64_t column = int64_t(k % slice.packs) * V;
        const bool whole = piece.part < 0;
        T* const place = out + piece.place * e.columns + column;
        Sum<T> sum[V];
        start<V>(sum, place, adds && whole);
        for (int64_t q = piece.begin; q < piece.end; ++q) {
            const int64_t p = pieces.order[q];
            const Sum<T> scale = e.scale ? widened(e.scale[p]) : Sum<T>(1);
            Wide<T> v[V];
            fetch<V>(v, e.table + (e.from ? e.from[p] : p) * e.columns + column);
#pragma unroll
            for (int i = 0; i < V; ++i) sum[i] += scale * static_cast<Sum<T>>(v[i]);
        }
        if (whole) {
            put<V>(place, sum);
        } else {
#pragma unroll
            for (int i = 0; i < V; ++i) pieces.parts[piece.part * e.columns + column + i] = double(sum[i]);
        }
    }
}

template <int V, class T> __global__ void __launch_bounds__(THREADS)
    add_parts(T* out, const Entries<T> e, const __grid_constant__ Pieces pieces, const Slice slice, bool adds) {
    for (unsigned k = unsigned(first_item()); k < slice.items; k += unsigned(items_at_once())) {
        const Merge merge = pieces.several[slice.from + k / slice.packs];
        const int64_t column = int64_t(k % slice.packs) * V;
        T* const place = out + merge.place * e.columns + column;
        Sum<T> sum[V];
        start<V>(sum, place, adds);
        for (int64_t j = merge.first; j < merge.first + merge.count; ++j)
#pragma unroll
            for (int i = 0; i < V; ++i) sum[i] += Sum<T>(pieces.parts[j * e.columns + column + i]);
        put<V>(place, sum);
    }
}

template <int V, class T> void start_both(T* out, const Entries<T>& e, const Pieces& pieces, bool adds) {
    const unsigned packs = unsigned(device::length_of(e.columns / V, "a row"));
    const auto in_slices = [&](auto kernel, int64_t count) {
        const int64_t most = AT_ONCE / packs > 0 ? AT_ONCE / packs : 1;
        for (int64_t from = 0; from < count; from += most) {
            const int64_t rows = count - from < most ? count - from : most;
            launch(kernel, blocks_for(rows * packs), THREADS, 0, current_stream, out, e, pieces, Slice{from, unsigned(rows * packs), packs}, adds);
        }
    };
    in_slices(add_pieces<V, T>, pieces.count);
    in_slices(add_parts<V, T>, pieces.several_count);
}

template <class T> void add(Array& out, const Entries<T>& e, const Pieces& pieces, bool adds) {
    if (pieces.count * e.columns == 0) return;
    if (!device::aligned_16(pieces.pieces)) throw std::invalid_argument("the table of pieces must start at a multiple of 16 bytes");
    constexpr int PACK = device::PACK<T>;
    if (e.columns % PACK == 0 && device::aligned_16(out.data) && device::aligned_16(e.table)) start_both<PACK>(out.ptr<T>(), e, pieces, adds);
    else start_both<1>(out.ptr<T>(), e, pieces, adds);
}

Pieces pieces_of(const Array& order, Array& parts, const Array& pieces, const Array& several) {
    return {order.ptr<int64_t>(), pieces.ptr<Piece>(), several.ptr<Merge>(), parts.ptr<double>(), pieces.shape[0], several.shape[0]};
}

void add_rows_in_pieces(Array& out, const Array&, const Array& order, const Array& table, const Array& from, const Array& to, const Array& scale,
                        Array& parts, const Array& pieces, const Array& several) {
    device::by_dtype(out.dtype, [&]<class T>() {
        add(out, entries_of<T>(table, from, to, scale), pieces_of(order, parts, pieces, several), false);
    });
}

void accumulate_in_pieces(Array& out, const Array& index, const Array& source, const Array& order, const Array&, Array& parts,
                          const Array& pieces, const Array& several) {
    device::by_dtype(out.dtype, [&]<class T>() { add(out, entries_of<T>(source, index), pieces_of(order, parts, pieces, several), true); });
}

TG_KERNEL(add_rows, "cuda/v02_pieces", FLOATS, add_rows_in_pieces)
TG_KERNEL(accumulate, "cuda/v02_pieces", FLOATS, accumulate_in_pieces)

}  // namespace tg::indexing
