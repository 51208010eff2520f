// Rows added at positions that may repeat: index_add, scatter_add, gradients of indexing and of embeddings.
// The positions come sorted: all rows for one target are added up in double and rounded once, so neither the number of
// threads nor the number of repetitions shows in the result.
#include <algorithm>

#include "../core/registry.h"

namespace {

using tg::Array;
constexpr int64_t CHUNK = 128;               // columns that one thread adds up at a time: 1 kB of sums
constexpr int64_t PARALLEL_FROM = 1 << 15;   // elements

// out (N, D) += source (M, D) at rows index (M); order (M) sorts index, starts (S + 1) bounds the runs of equal positions in it.
template <class T> void rows(Array& out, const Array& index, const Array& source, const Array& order, const Array& starts) {
    const int64_t D = out.shape[1], M = index.size(), S = starts.size() - 1, chunks = (D + CHUNK - 1) / CHUNK;
    const auto* at = index.ptr<int64_t>();
    const auto* sorted = order.ptr<int64_t>();
    const auto* run = starts.ptr<int64_t>();
    const T* src = source.ptr<T>();
    T* dst = out.ptr<T>();
#pragma omp parallel for collapse(2) schedule(dynamic, 64) if (M * D > PARALLEL_FROM)
    for (int64_t s = 0; s < S; ++s) {
        for (int64_t c = 0; c < chunks; ++c) {
            const int64_t n = std::min(CHUNK, D - c * CHUNK);
            T* o = dst + at[sorted[run[s]]] * D + c * CHUNK;
            double sum[CHUNK];
            for (int64_t j = 0; j < n; ++j) sum[j] = o[j];
            for (int64_t k = run[s]; k < run[s + 1]; ++k) {
                const T* row = src + sorted[k] * D + c * CHUNK;
#pragma omp simd
                for (int64_t j = 0; j < n; ++j) sum[j] += row[j];
            }
            for (int64_t j = 0; j < n; ++j) o[j] = T(sum[j]);
        }
    }
}

void accumulate(Array& out, const Array& index, const Array& source, const Array& order, const Array& starts) {
    tg::dispatch_float(out.dtype, "accumulate", [&]<class T>() { rows<T>(out, index, source, order, starts); });
}

}  // namespace

TG_KERNEL(accumulate, "cpu/rows", "float32 float64", accumulate)
