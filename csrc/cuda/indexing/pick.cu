// The idea: picking moves bits: a row of a table is copied in the widest pieces its length and place allow, an element of a column in one.
// Before it: nothing. There is no arithmetic to improve, so there is no ladder.
// Ownership: thread i owns piece i of the result, then those a whole grid further on; neighbours own neighbouring pieces.
// Bottleneck: bandwidth of memory; rows that are shorter than a sector of 32 bytes are fetched with what lies beside them.
// Measure: python -m tensorgrad lab embedding --kernel cuda/pick --shape 300:int64:0:50 --shape 50x96
#include "places.h"

namespace tg::indexing {

template <class Piece> __global__ void __launch_bounds__(THREADS)
    copy_rows(Piece* y, const Piece* table, const int64_t* index, int64_t rows, int64_t pieces) {
    for (int64_t i = first_item(); i < rows * pieces; i += items_at_once()) {
        const Split s(i, pieces);
        y[i] = table[index[s.whole] * pieces + s.rest];
    }
}

// y (n, D): y[p] = table[index[p]]
void embedding(Array& y, const Array& table, const Array& index) {
    const int64_t item = table.dtype == DType::float64 ? 8 : table.dtype == DType::float32 ? 4 : 2, rows = y.shape[0], bytes = y.shape[1] * item;
    if (rows * bytes == 0) return;
    const auto in = [&]<class Piece>() {
        const int64_t pieces = bytes / int64_t(sizeof(Piece));
        launch(copy_rows<Piece>, blocks_for(rows * pieces), THREADS, 0, current_stream, y.ptr<Piece>(), table.ptr<const Piece>(),
               index.ptr<const int64_t>(), rows, pieces);
    };
    const uintptr_t places = reinterpret_cast<uintptr_t>(y.data) | reinterpret_cast<uintptr_t>(table.data) | uintptr_t(bytes);
    if (places % 16 == 0) in.template operator()<uint4>();
    else if (places % 8 == 0) in.template operator()<uint2>();
    else if (places % 4 == 0) in.template operator()<unsigned>();
    else in.template operator()<uint16_t>();
}

template <class T> __global__ void __launch_bounds__(THREADS)
    pick_columns(const Columns<T> out, const Columns<const T> x, const Columns<const int64_t> index, int64_t count) {
    for (int64_t k = first_item(); k < count; k += items_at_once()) {
        const Split inner(k, index.inner), outer(inner.whole, index.n);
        out.at(outer.whole, outer.rest, inner.rest) = x.at(outer.whole, index.at(outer.whole, outer.rest, inner.rest), inner.rest);
    }
}

// out[o, m, i] = x[o, index[o, m, i], i], for elements of any type of the size of T
void gather(Array& out, const Array& x, const Array& index) {
    const int64_t count = index.size();
    if (count == 0) return;
    const auto in = [&]<class T>() {
        launch(pick_columns<T>, blocks_for(count), THREADS, 0, current_stream, Columns<T>(out), Columns<const T>(x),
               Columns<const int64_t>(index), count);
    };
    switch (x.dtype) {
        case DType::float64: case DType::int64: return in.template operator()<uint2>();
        case DType::float32: case DType::int32: return in.template operator()<unsigned>();
        case DType::float16: case DType::bfloat16: case DType::int16: return in.template operator()<uint16_t>();
        default: return in.template operator()<uint8_t>();
    }
}

TG_KERNEL(embedding, "cuda/pick", FLOATS, embedding)
TG_KERNEL(gather, "cuda/pick", "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64", gather)

}  // namespace tg::indexing
