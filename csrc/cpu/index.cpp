// Picking and adding along one dimension by an index of the result's shape: gather and scatter_add.
// Arrays are (outer, n, inner) views with any strides. A thread owns whole columns, so no two threads meet at one element and
// values are added in the order of the index: the result does not depend on the number of threads.
#include <algorithm>

#include "../core/registry.h"

namespace {

using tg::Array;
using tg::DType;
constexpr int64_t BLOCK = 64;               // columns of one task
constexpr int64_t PARALLEL_FROM = 1 << 15;  // elements

// f(o, first column, last column) for all of (outer, inner) in blocks of columns.
template <class F> void columns(const Array& index, F f) {
    const int64_t outer = index.shape[0], inner = index.shape[2], blocks = (inner + BLOCK - 1) / BLOCK;
#pragma omp parallel for collapse(2) schedule(static) if (index.size() > PARALLEL_FROM)
    for (int64_t o = 0; o < outer; ++o)
        for (int64_t b = 0; b < blocks; ++b) f(o, b * BLOCK, std::min((b + 1) * BLOCK, inner));
}

// out[o, index[o, m, i], i] += src[o, m, i]
template <class Sum, class T> void add_columns(Array& out, const Array& index, const Array& src) {
    const int64_t m_end = index.shape[1];
    columns(index, [&](int64_t o, int64_t first, int64_t last) {
        const auto* at = index.ptr<int64_t>() + o * index.strides[0];
        const T* from = src.ptr<T>() + o * src.strides[0];
        Sum* to = out.ptr<Sum>() + o * out.strides[0];
        for (int64_t m = 0; m < m_end; ++m)
            for (int64_t i = first; i < last; ++i)
                to[at[m * index.strides[1] + i * index.strides[2]] * out.strides[1] + i * out.strides[2]] +=
                    Sum(from[m * src.strides[1] + i * src.strides[2]]);
    });
}

void scatter_add(Array& out, const Array& index, const Array& src) {
    if (out.dtype == DType::float64 && src.dtype == DType::float32) return add_columns<double, float>(out, index, src);
    if (out.dtype != src.dtype) throw std::invalid_argument("scatter_add: out must have the type of src, or be float64");
    tg::dispatch_float(out.dtype, "scatter_add", [&]<class T>() { add_columns<T, T>(out, index, src); });
}

// out[o, m, i] = x[o, index[o, m, i], i], for elements of any type of the size of T
template <class T> void pick_columns(Array& out, const Array& x, const Array& index) {
    const int64_t m_end = index.shape[1];
    columns(index, [&](int64_t o, int64_t first, int64_t last) {
        const auto* at = index.ptr<int64_t>() + o * index.strides[0];
        const T* from = x.ptr<T>() + o * x.strides[0];
        T* to = out.ptr<T>() + o * out.strides[0];
        for (int64_t m = 0; m < m_end; ++m)
            for (int64_t i = first; i < last; ++i)
                to[m * out.strides[1] + i * out.strides[2]] =
                    from[at[m * index.strides[1] + i * index.strides[2]] * x.strides[1] + i * x.strides[2]];
    });
}

void gather(Array& out, const Array& x, const Array& index) {
    switch (x.dtype) {
        case DType::float64: case DType::int64: return pick_columns<uint64_t>(out, x, index);
        case DType::float32: case DType::int32: return pick_columns<uint32_t>(out, x, index);
        case DType::float16: case DType::bfloat16: case DType::int16: return pick_columns<uint16_t>(out, x, index);
        default: return pick_columns<uint8_t>(out, x, index);
    }
}

}  // namespace

TG_KERNEL(scatter_add, "cpu/columns", "float32 float64", scatter_add)
TG_KERNEL(gather, "cpu/columns", "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64", gather)
