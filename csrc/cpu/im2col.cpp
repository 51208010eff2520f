// im2col: the windows of images as columns; col2im: columns added back into images. Each is the other's gradient.
#include "../core/parallel.h"
#include "../core/registry.h"

namespace tg {
namespace {

struct Windows {
    int64_t H, W, kh, kw, HO, WO, sh, sw, ph, pw, dh, dw;
};

// f(row of the image or -1 for padding, columns' row, column offset of tap (a, b)) for each tap and output row.
// Columns of a plane: (kh kw, HO WO). Output columns [first, last) of a tap lie in the image.
template <class F> void each_line(const Windows& g, F&& f) {
    for (int64_t a = 0; a < g.kh; ++a)
        for (int64_t b = 0; b < g.kw; ++b) {
            const int64_t left = b * g.dw - g.pw;  // the image column of output column j is left + j sw
            const int64_t first = left >= 0 ? 0 : std::min((-left + g.sw - 1) / g.sw, g.WO);
            const int64_t last = left >= g.W ? first : std::max(first, std::min((g.W - 1 - left) / g.sw + 1, g.WO));
            for (int64_t i = 0; i < g.HO; ++i) {
                const int64_t r = i * g.sh - g.ph + a * g.dh, line = ((a * g.kw + b) * g.HO + i) * g.WO;
                f(r >= 0 && r < g.H ? r : int64_t(-1), line, left, first, last);
            }
        }
}

// columns (P, kh kw, HO WO) from x (P, H, W)
void im2col(Array& columns, const Array& x, int64_t kh, int64_t kw, int64_t HO, int64_t WO, int64_t sh, int64_t sw, int64_t ph, int64_t pw,
            int64_t dh, int64_t dw) {
    const Windows g{x.shape[1], x.shape[2], kh, kw, HO, WO, sh, sw, ph, pw, dh, dw};
    dispatch_float(x.dtype, "im2col", [&]<class T>() {
        parallel_ranges(x.shape[0], columns.size(), [&](int64_t begin, int64_t end) {
            for (int64_t p = begin; p < end; ++p) {
                const T* image = x.ptr<T>() + p * g.H * g.W;
                T* out = columns.ptr<T>() + p * kh * kw * HO * WO;
                each_line(g, [&](int64_t row, int64_t line, int64_t left, int64_t first, int64_t last) {
                    T* to = out + line;
                    if (row < 0) first = last = 0;
                    std::fill(to, to + first, T(0));
                    const T* from = image + row * g.W + left;
                    if (sw == 1) std::copy(from + first, from + last, to + first);
                    else
                        for (int64_t j = first; j < last; ++j) to[j] = from[j * sw];
                    std::fill(to + last, to + WO, T(0));
                });
            }
        });
    });
}

// x (P, H, W): the sum of the columns' entries at each element; one thread a plane, one order of addition.
void col2im(Array& x, const Array& columns, int64_t kh, int64_t kw, int64_t HO, int64_t WO, int64_t sh, int64_t sw, int64_t ph, int64_t pw,
            int64_t dh, int64_t dw) {
    const Windows g{x.shape[1], x.shape[2], kh, kw, HO, WO, sh, sw, ph, pw, dh, dw};
    dispatch_float(x.dtype, "col2im", [&]<class T>() {
        parallel_ranges(x.shape[0], columns.size(), [&](int64_t begin, int64_t end) {
            for (int64_t p = begin; p < end; ++p) {
                T* image = x.ptr<T>() + p * g.H * g.W;
                const T* in = columns.ptr<T>() + p * kh * kw * HO * WO;
                std::fill_n(image, g.H * g.W, T(0));
                each_line(g, [&](int64_t row, int64_t line, int64_t left, int64_t first, int64_t last) {
                    if (row < 0) return;
                    T* to = image + row * g.W + left;
                    for (int64_t j = first; j < last; ++j) to[j * sw] += in[line + j];
                });
            }
        });
    });
}

TG_KERNEL(im2col, "cpu/lines", "float32 float64", im2col)
TG_KERNEL(col2im, "cpu/lines", "float32 float64", col2im)

}  // namespace
}  // namespace tg
