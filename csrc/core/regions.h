// Where the samples of a region of interest lie on an image, and what they read there. For every kind of kernel.
#pragma once
#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define TG_REGION __host__ __device__ __forceinline__
#else
#define TG_REGION inline
#endif

namespace tg::regions {

// Along one dimension: a region of `bins` bins from `start`, each of `size` pixels, and `samples` points at equal distances in a bin.
template <class A> struct Side {
    A start, size;
    int bins, samples;

    TG_REGION Side(A from, A to, A scale, int64_t count, int64_t ratio, bool aligned) : bins(int(count)) {
        start = from * scale - (aligned ? A(0.5) : A(0));
        A length = to * scale - (aligned ? A(0.5) : A(0)) - start;
        if (!aligned && !(length > A(1))) length = A(1);
        size = length / A(count);
        const A wanted = std::ceil(size);
        samples = ratio > 0 ? int(ratio) : wanted >= A(1) ? int(wanted) : 0;
    }
    TG_REGION A point(int bin, int sample) const { return start + A(bin) * size + (A(sample) + A(0.5)) * size / A(samples); }

    // The weight of pixel `at` in the sum over a bin's samples: each spreads over its two neighbours.
    TG_REGION A weight(int bin, int at, int pixels) const;
};

// A sample between two pixels: `low` weighs 1 - far, `high` far. Beyond the edge it is the edge's value, a pixel further out nothing.
template <class A> struct Between {
    int low, high;
    A far;
    bool inside;

    TG_REGION Between(A at, int pixels) : low(0), high(0), far(0), inside(at >= A(-1) && at <= A(pixels)) {
        if (!inside) return;
        if (at < A(0)) at = A(0);
        low = int(at);
        if (low >= pixels - 1) low = high = pixels - 1;
        else {
            high = low + 1;
            far = at - A(low);
        }
    }
};

template <class A> TG_REGION A Side<A>::weight(int bin, int at, int pixels) const {
    A sum = 0;
    for (int i = 0; i < samples; ++i) {
        const Between<A> p(point(bin, i), pixels);
        if (!p.inside) continue;
        if (p.low == at) sum += A(1) - p.far;
        if (p.high == at && p.high != p.low) sum += p.far;
    }
    return sum;
}

// Region `index` of boxes (K, 5): its image, and its two sides.
template <class A> struct Region {
    int64_t image;
    Side<A> y, x;

    template <class T> TG_REGION Region(const T* box, int64_t height, int64_t width, A scale, int64_t ratio, bool aligned)
        : image(int64_t(A(box[0]))), y(A(box[2]), A(box[4]), scale, height, ratio, aligned),
          x(A(box[1]), A(box[3]), scale, width, ratio, aligned) {}

    TG_REGION A samples() const { return A(y.samples * x.samples > 1 ? y.samples * x.samples : 1); }

    // The mean of the samples of bin (i, j); pixel(h, w) reads the image.
    template <class F> TG_REGION A mean(int i, int j, int H, int W, F&& pixel) const {
        A sum = 0;
        for (int a = 0; a < y.samples; ++a) {
            const Between<A> v(y.point(i, a), H);
            if (!v.inside) continue;
            for (int b = 0; b < x.samples; ++b) {
                const Between<A> h(x.point(j, b), W);
                if (!h.inside) continue;
                const A top = (A(1) - h.far) * pixel(v.low, h.low) + h.far * pixel(v.low, h.high);
                const A bottom = (A(1) - h.far) * pixel(v.high, h.low) + h.far * pixel(v.high, h.high);
                sum += (A(1) - v.far) * top + v.far * bottom;
            }
        }
        return sum / samples();
    }
};

}  // namespace tg::regions
