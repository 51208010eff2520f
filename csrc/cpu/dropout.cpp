// Dropout in one pass: draw, compare, scale. Nothing is stored but (seed, first block): backward draws the same numbers again.
//
// Word i of the stream decides about row i of x (rows, run): with run 1 about each element, with run S about a whole channel.
// What is kept becomes x * scale + shift, what is dropped x * 0 + dropped (so that NaN and infinity stay visible, as in PyTorch).
#include "../core/parallel.h"
#include "../core/philox.h"
#include "../core/registry.h"

namespace tg {
namespace {

// y, x (rows, run); an element is kept where its word is below `limit`, from 0 to 2^32.
void drop(Array& y, const Array& x, int64_t seed, int64_t first_block, int64_t limit, double scale, double shift, double dropped) {
    const int64_t rows = x.shape[0], run = x.shape[1], groups = (rows + philox::WORDS - 1) / philox::WORDS;
    dispatch_float(x.dtype, "drop", [&]<class T>() {
        parallel_ranges(groups, x.size() + rows, [&](int64_t begin, int64_t end) {
            const T on = limit ? T(scale) : T(0), plus = T(limit ? shift : dropped), minus = T(dropped);
            const auto last = uint32_t(limit ? limit - 1 : 0);  // in 32 bits: the largest word that keeps
            uint32_t words[philox::WORDS];
            T factor[philox::WORDS], offset[philox::WORDS];
            for (int64_t b = begin; b < end; ++b) {
                const int64_t row = b * philox::WORDS, n = std::min<int64_t>(philox::WORDS, rows - row);
                philox::words(uint64_t(seed), uint64_t(first_block) + uint64_t(b) * philox::LANES, words);
                for (int i = 0; i < philox::WORDS; ++i) {
                    const bool keep = words[i] <= last;
                    factor[i] = keep ? on : T(0);
                    offset[i] = keep ? plus : minus;
                }
                const T* __restrict in = x.ptr<T>() + row * run;
                T* __restrict out = y.ptr<T>() + row * run;
                if (run == 1)
                    for (int64_t i = 0; i < n; ++i) out[i] = in[i] * factor[i] + offset[i];
                else
                    for (int64_t i = 0; i < n; ++i)
                        for (int64_t j = 0; j < run; ++j) out[i * run + j] = in[i * run + j] * factor[i] + offset[i];
            }
        });
    });
}

// y, x, residual (rows, n), bias (n) or None: y = residual + what dropout leaves of x + bias, a word an element.
void drop_add(Array& y, const Array& x, const Array& residual, const Array& bias, int64_t seed, int64_t first_block, int64_t limit, double scale) {
    const int64_t size = x.size(), n = x.shape[1], groups = (size + philox::WORDS - 1) / philox::WORDS;
    dispatch_float(x.dtype, "drop_add", [&]<class T>() {
        parallel_ranges(groups, 2 * size, [&](int64_t begin, int64_t end) {
            const T on = limit ? T(scale) : T(0);
            const auto last = uint32_t(limit ? limit - 1 : 0);  // in 32 bits: the largest word that keeps
            uint32_t words[philox::WORDS];
            T added[philox::WORDS] = {};
            for (int64_t b = begin; b < end; ++b) {
                const int64_t at = b * philox::WORDS, count = std::min<int64_t>(philox::WORDS, size - at);
                philox::words(uint64_t(seed), uint64_t(first_block) + uint64_t(b) * philox::LANES, words);
                for (int64_t i = 0, column = at % n; bias && i < count; ++i, column = column + 1 == n ? 0 : column + 1)
                    added[i] = bias.ptr<T>()[column];
                const T* __restrict in = x.ptr<T>() + at;
                const T* __restrict beside = residual.ptr<T>() + at;
                T* __restrict out = y.ptr<T>() + at;
                for (int64_t i = 0; i < count; ++i) out[i] = beside[i] + (in[i] + added[i]) * (words[i] <= last ? on : T(0));
            }
        });
    });
}

TG_KERNEL(drop, "cpu/philox", "float32 float64", drop)
TG_KERNEL(drop_add, "cpu/philox", "float32 float64", drop_add)

}  // namespace
}  // namespace tg
