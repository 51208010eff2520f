// nms: boxes (n, 4) from the best to the worst; keep[i] says whether no kept box before i overlaps it too much.
#include <algorithm>

#include "../core/registry.h"

namespace tg {
namespace {

void nms(Array& keep, Array&, const Array& boxes, double threshold) {
    const int64_t n = boxes.shape[0];
    auto* const kept = keep.ptr<uint8_t>();
    dispatch_float(boxes.dtype, "nms", [&]<class T>() {
        const T* const box = boxes.ptr<T>();
        std::fill_n(kept, n, uint8_t(1));
        for (int64_t i = 0; i < n; ++i) {
            if (!kept[i]) continue;
            const T *a = box + 4 * i, area = (a[2] - a[0]) * (a[3] - a[1]);
            for (int64_t j = i + 1; j < n; ++j) {
                const T* b = box + 4 * j;
                const T width = std::max(std::min(a[2], b[2]) - std::max(a[0], b[0]), T(0));
                const T common = width * std::max(std::min(a[3], b[3]) - std::max(a[1], b[1]), T(0));
                if (common / (area + (b[2] - b[0]) * (b[3] - b[1]) - common) > T(threshold)) kept[j] = 0;
            }
        }
    });
}

TG_KERNEL(nms, "cpu/greedy", "float32 float64", nms)

}  // namespace
}  // namespace tg
