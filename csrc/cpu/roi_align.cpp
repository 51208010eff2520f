// roi_align and its gradient: input (N, C, H, W), boxes (K, 5), output (K, C, rows, columns), all without gaps.
#include <algorithm>

#include "../core/parallel.h"
#include "../core/regions.h"
#include "../core/registry.h"

namespace tg {
namespace {

using regions::Between;
using regions::Region;

void roi_align(Array& y, const Array& x, const Array& boxes, double scale, int64_t ratio, int64_t aligned) {
    const int64_t C = x.shape[1], H = x.shape[2], W = x.shape[3], rows = y.shape[2], columns = y.shape[3];
    dispatch_float(x.dtype, "roi_align", [&]<class T>() {
        parallel_ranges(boxes.shape[0], y.size() * 16, [&](int64_t begin, int64_t end) {
            for (int64_t k = begin; k < end; ++k) {
                const Region<T> region(boxes.ptr<T>() + 5 * k, rows, columns, T(scale), ratio, aligned);
                for (int64_t c = 0; c < C; ++c) {
                    const T* const plane = x.ptr<T>() + (region.image * C + c) * H * W;
                    const auto pixel = [&](int h, int w) { return plane[h * W + w]; };
                    T* const to = y.ptr<T>() + (k * C + c) * rows * columns;
                    for (int64_t bin = 0; bin < rows * columns; ++bin)
                        to[bin] = region.mean(int(bin / columns), int(bin % columns), int(H), int(W), pixel);
                }
            }
        });
    });
}

// Each plane of dx adds up what the regions send it, in their order.
void roi_align_backward(Array& dx, const Array& g, const Array& boxes, double scale, int64_t ratio, int64_t aligned) {
    const int64_t C = dx.shape[1], H = dx.shape[2], W = dx.shape[3], rows = g.shape[2], columns = g.shape[3];
    dispatch_float(dx.dtype, "roi_align_backward", [&]<class T>() {
        parallel_ranges(dx.shape[0] * C, g.size() * 16 + dx.size(), [&](int64_t begin, int64_t end) {
            for (int64_t p = begin; p < end; ++p) {
                T* const plane = dx.ptr<T>() + p * H * W;
                std::fill_n(plane, H * W, T(0));
                for (int64_t k = 0; k < boxes.shape[0]; ++k) {
                    const Region<T> region(boxes.ptr<T>() + 5 * k, rows, columns, T(scale), ratio, aligned);
                    if (region.image != p / C) continue;
                    for (int64_t bin = 0; bin < rows * columns; ++bin) {
                        const T share = g.ptr<T>()[(k * C + p % C) * rows * columns + bin] / region.samples();
                        for (int a = 0; a < region.y.samples; ++a)
                            for (int b = 0; b < region.x.samples; ++b) {
                                const Between<T> v(region.y.point(int(bin / columns), a), int(H));
                                const Between<T> h(region.x.point(int(bin % columns), b), int(W));
                                if (!v.inside || !h.inside) continue;
                                plane[v.low * W + h.low] += share * (1 - v.far) * (1 - h.far);
                                plane[v.low * W + h.high] += share * (1 - v.far) * h.far;
                                plane[v.high * W + h.low] += share * v.far * (1 - h.far);
                                plane[v.high * W + h.high] += share * v.far * h.far;
                            }
                    }
                }
            }
        });
    });
}

TG_KERNEL(roi_align, "cpu/samples", "float32 float64", roi_align)
TG_KERNEL(roi_align_backward, "cpu/samples", "float32 float64", roi_align_backward)

}  // namespace
}  // namespace tg
