// rotary_embedding: x (B, H, L, D) of any steps but for neighbouring features, tables (L, D / 2), y without gaps. A pair is two loads, two stores.
#include "../core/parallel.h"
#include "../core/registry.h"

namespace tg {
namespace {

// Pair i is elements i and i + gap, or 2 i and 2 i + 1 where STEP is 2 (gap 1).
template <int STEP, class T> void turn(T* __restrict y, const T* __restrict x, const T* __restrict cos, const T* __restrict sin, int64_t pairs, int64_t gap, T sign) {
#pragma omp simd
    for (int64_t i = 0; i < pairs; ++i) {
        const T a = x[i * STEP], b = x[i * STEP + gap], c = cos[i], s = sin[i] * sign;
        y[i * STEP] = a * c - b * s;
        y[i * STEP + gap] = a * s + b * c;
    }
}

void rotary_embedding(Array& y, const Array& x, const Array& cos, const Array& sin, int64_t interleaved, int64_t inverse) {
    const int64_t H = x.shape[1], L = x.shape[2], D = x.shape[3], pairs = D / 2;
    dispatch_float(x.dtype, "rotary_embedding", [&]<class T>() {
        parallel_ranges(x.shape[0] * H * L, x.size(), [&](int64_t begin, int64_t end) {
            for (int64_t row = begin; row < end; ++row) {
                const int64_t l = row % L, h = row / L % H, b = row / L / H;
                const T *from = x.ptr<T>() + b * x.strides[0] + h * x.strides[1] + l * x.strides[2], *c = cos.ptr<T>() + l * pairs,
                        *s = sin.ptr<T>() + l * pairs;
                T* const to = y.ptr<T>() + row * D;
                if (interleaved) turn<2>(to, from, c, s, pairs, 1, T(inverse ? -1 : 1));
                else turn<1>(to, from, c, s, pairs, pairs, T(inverse ? -1 : 1));
            }
        });
    });
}

TG_KERNEL(rotary_embedding, "cpu/pairs", "float32 float64", rotary_embedding)

}  // namespace
}  // namespace tg
