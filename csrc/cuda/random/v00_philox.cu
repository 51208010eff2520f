// The idea: value i is a function of the seed and of i, so a thread makes the values of its own Philox blocks and nobody keeps a state.
// Before it: nothing. The bits are those of the CPU kernels, whatever the grid; normal and exponential numbers differ by roundings.
// Ownership: a thread owns the values of one block (16 bytes, or two integers), and then those a whole grid further on.
// Bottleneck: bandwidth of memory for uniform numbers; the logarithm, sine and cosine for normal ones in fp64.
// Measure: python -m pytest -m gpu tests/test_gpu_cuda.py -k random
#include <cmath>

#include "../../core/registry.h"
#include "../../device/philox.cuh"
#include "../../device/stretch.cuh"

namespace tg::random {

constexpr int THREADS = 256, MOST_BLOCKS = 1 << 14;

__device__ inline uint64_t word64(unsigned low, unsigned high) { return uint64_t(high) << 32 | low; }

// The numbers that the words of a block stand for: uniform in [0, 1), with as many bits as the significand holds, and in (0, 1].
template <class T> struct Words;
template <> struct Words<float> {
    static constexpr int PER_BLOCK = 4;
    unsigned w[4];
    __device__ explicit Words(uint4 a) : w{a.x, a.y, a.z, a.w} {}
    __device__ float unit(int i) const { return float(w[i] >> 8) * 0x1p-24f; }
    __device__ float positive(int i) const { return (float(w[i]) + 1.0f) * 0x1p-32f; }
};
template <> struct Words<double> {
    static constexpr int PER_BLOCK = 2;
    uint64_t w[2];
    __device__ explicit Words(uint4 a) : w{word64(a.x, a.y), word64(a.z, a.w)} {}
    __device__ double unit(int i) const { return double(w[i] >> 11) * 0x1p-53; }
    __device__ double positive(int i) const { return (double(w[i] >> 11) + 1.0) * 0x1p-53; }
};

template <class T> struct Uniform {
    T low, span, high, last;
    __device__ void operator()(const Words<T>& words, T* y) const {
        for (int i = 0; i < Words<T>::PER_BLOCK; ++i) {
            const T v = std::fma(span, words.unit(i), low);
            y[i] = v < high || span == T(0) ? v : last;  // the sum may round up to the open end
        }
    }
};

// Box-Muller: two uniform numbers make two normal ones. The angle is a whole number of quarter turns and a rest, which is exact.
template <class T> struct Normal {
    T mean, std;
    __device__ void operator()(const Words<T>& words, T* y) const {
        for (int i = 0; i < Words<T>::PER_BLOCK; i += 2) {
            const T turns = words.unit(i + 1), quarter = std::rint(turns * T(4));
            const T angle = (turns - quarter * T(0.25)) * T(6.283185307179586477);
            const T s = std::sin(angle), c = std::cos(angle), radius = std::sqrt(std::log(words.positive(i)) * T(-2)) * std;
            const int q = int(quarter) & 3;
            const T sin = q & 1 ? c : s, cos = q & 1 ? s : c;
            y[i] = std::fma(q == 1 || q == 2 ? -cos : cos, radius, mean);
            y[i + 1] = std::fma(q >= 2 ? -sin : sin, radius, mean);
        }
    }
};

template <class T> struct Exponential {
    T rate;
    __device__ void operator()(const Words<T>& words, T* y) const {
        for (int i = 0; i < Words<T>::PER_BLOCK; ++i) y[i] = -std::log(words.positive(i)) / rate;
    }
};

// The top half of a 64 x 64 bit product is an integer in [0, count); all 64 bits where count is 0.
struct Integers {
    int64_t low;
    uint64_t count;
    __device__ static uint64_t high_product(uint64_t a, uint64_t b) {
        const uint64_t al = a & 0xFFFFFFFFu, ah = a >> 32, bl = b & 0xFFFFFFFFu, bh = b >> 32;
        const uint64_t middle = ah * bl + (al * bl >> 32), other = al * bh + (middle & 0xFFFFFFFFu);
        return ah * bh + (middle >> 32) + (other >> 32);
    }
    __device__ void operator()(const Words<double>& words, int64_t* y) const {
        for (int i = 0; i < 2; ++i) y[i] = int64_t(uint64_t(low) + (count ? high_product(words.w[i], count) : words.w[i]));
    }
};

// `whole`: the values of a block go out as 16 bytes at once, where the address allows it.
template <class T, class W, class F>
__global__ void __launch_bounds__(THREADS) fill(T* out, int64_t n, uint64_t seed, int64_t first_block, bool whole, const F f) {
    constexpr int PER_BLOCK = W::PER_BLOCK;
    const device::Stretch of(seed, first_block);
    for (int64_t b = blockIdx.x * int64_t(THREADS) + threadIdx.x; b * PER_BLOCK < n; b += gridDim.x * int64_t(THREADS)) {
        struct alignas(16) Values {
            T at[PER_BLOCK];
        } values;
        f(W(device::philox(of.seed, of.first + uint64_t(b))), values.at);
        if (whole && (b + 1) * PER_BLOCK <= n) {
            reinterpret_cast<Values*>(out)[b] = values;
        } else {
            for (int i = 0; i < PER_BLOCK; ++i)
                if (b * PER_BLOCK + i < n) out[b * PER_BLOCK + i] = values.at[i];
        }
    }
}

template <class T, class W, class F> void draw(Array& out, int64_t seed, int64_t first_block, F f) {
    const int64_t n = out.size(), per_grid = int64_t(THREADS) * W::PER_BLOCK, blocks = (n + per_grid - 1) / per_grid;
    if (n == 0) return;
    launch(fill<T, W, F>, unsigned(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS), THREADS, 0, current_stream, out.ptr<T>(), n, uint64_t(seed),
           first_block, reinterpret_cast<uintptr_t>(out.data) % 16 == 0, f);
}

void uniform(Array& out, int64_t seed, int64_t first_block, double low, double high) {
    dispatch_float(out.dtype, "uniform_", [&]<class T>() {
        draw<T, Words<T>>(out, seed, first_block, Uniform<T>{T(low), T(high - low), T(high), std::nextafter(T(high), T(low))});
    });
}
void normal(Array& out, int64_t seed, int64_t first_block, double mean, double std) {
    dispatch_float(out.dtype, "normal_", [&]<class T>() { draw<T, Words<T>>(out, seed, first_block, Normal<T>{T(mean), T(std)}); });
}
void exponential(Array& out, int64_t seed, int64_t first_block, double rate) {
    dispatch_float(out.dtype, "exponential_", [&]<class T>() { draw<T, Words<T>>(out, seed, first_block, Exponential<T>{T(rate)}); });
}
void integers(Array& out, int64_t seed, int64_t first_block, int64_t low, int64_t count) {
    draw<int64_t, Words<double>>(out, seed, first_block, Integers{low, uint64_t(count)});
}
TG_KERNEL(uniform_, "cuda/v00_philox", "float32 float64", uniform)
TG_KERNEL(normal_, "cuda/v00_philox", "float32 float64", normal)
TG_KERNEL(exponential_, "cuda/v00_philox", "float32 float64", exponential)
TG_KERNEL(random_, "cuda/v00_philox", "int64", integers)

}  // namespace tg::random
