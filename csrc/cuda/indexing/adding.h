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
        const Sum<T> x = widened(table[(from ? from[p] : p) * columns + column]);
        return scale ? widened(scale[p]) * x : x;
    }
};

template <class T> Entries<T> entries_of(const Array& table, const Array& from, const Array& to, const Array& scale) {
    return {table.ptr<T>(), from.ptr<int64_t>(), to.ptr<int64_t>(), scale.ptr<T>(), to.size(), table.shape[1]};
}
template <class T> Entries<T> entries_of(const Array& source, const Array& index) {
    return {source.ptr<T>(), nullptr, index.ptr<int64_t>(), nullptr, index.size(), source.shape[1]};
}

constexpr const char* NUMBERS = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8";

// f.operator()<T>() for the type behind a dtype of NUMBERS.
template <class F> void by_number(DType dtype, F&& f) {
    switch (dtype) {
        case DType::int64: return f.template operator()<int64_t>();
        case DType::int32: return f.template operator()<int32_t>();
        case DType::int16: return f.template operator()<int16_t>();
        case DType::int8: return f.template operator()<int8_t>();
        case DType::uint8: return f.template operator()<uint8_t>();
        default: return device::by_dtype(dtype, f);
    }
}

// f.operator()<T, Out>() for scatter_add's source and target: a target in double, or floats of the same type.
template <class F> void by_float_types(const Array& out, const Array& source, F&& f) {
    device::by_dtype(source.dtype, [&]<class T>() {
        if (out.dtype == DType::float64) return f.template operator()<T, double>();
        if constexpr (std::is_same_v<T, float>)
            if (out.dtype == DType::float32) return f.template operator()<float, float>();
        throw std::invalid_argument("the target must be float64, or float32 as the source");
    });
}

// The same, and integers of one type.
template <class F> void by_types(const Array& out, const Array& source, F&& f) {
    by_number(source.dtype, [&]<class T>() {
        if constexpr (std::is_integral_v<T>) f.template operator()<T, T>();
        else by_float_types(out, source, f);
    });
}

}  // namespace tg::indexing
