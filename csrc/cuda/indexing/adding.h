// Adding where indices say, and what the rungs make of it: three ops, one sum.
//
//   add_rows     y[to[p]] = sum of scale[p] table[from[p]] over the entries p: embedding bags, and gradients of embeddings
//   accumulate   out[index[p]] += source[p]: index_add, index_put, gradients of indexing
//   scatter_add  out[o, index[o, m, i], i] += source[o, m, i]
// Entries that meet at one place are the trouble: in which order are they added, and who keeps them apart? A rung answers. Rungs add
// the entries of a place in the order of the entries, whatever the number of threads; `atomic` alone does not.
#pragma once
#include "places.h"

namespace tg::indexing {

// Entry p's row, `columns` long, times its scale.
template <class T> struct Entries {
    const T* table;
    const int64_t *from, *to;  // `from` null: entry p's row is p
    const T* scale;            // may be null
    int64_t count, columns;
    __device__ Sum<T> term(int64_t p, int64_t column) const {
        const auto x = static_cast<Sum<T>>(static_cast<Wide<T>>(table[(from ? from[p] : p) * columns + column]));
        return scale ? static_cast<Sum<T>>(static_cast<Wide<T>>(scale[p])) * x : x;
    }
};

template <class T> Entries<T> entries_of(const Array& table, const Array& from, const Array& to, const Array& scale) {
    return {table.ptr<T>(), from.ptr<int64_t>(), to.ptr<int64_t>(), scale.ptr<T>(), to.size(), table.shape[1]};
}
template <class T> Entries<T> entries_of(const Array& source, const Array& index) {
    return {source.ptr<T>(), nullptr, index.ptr<int64_t>(), nullptr, index.size(), source.shape[1]};
}

// f.operator()<T, Out>() for scatter_add's source and target: the same type, or a target in double.
template <class F> void by_types(const Array& out, const Array& source, F&& f) {
    device::by_dtype(source.dtype, [&]<class T>() {
        if (out.dtype == DType::float64) return f.template operator()<T, double>();
        if constexpr (std::is_same_v<T, float>)
            if (out.dtype == DType::float32) return f.template operator()<float, float>();
        throw std::invalid_argument("the target must be float64, or float32 as the source");
    });
}

}  // namespace tg::indexing
