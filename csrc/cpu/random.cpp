// Random numbers of several distributions from Philox's bits: value i depends on (seed, position) alone, whatever the threads.
#include <cmath>
#include <cstring>

#include "../core/philox.h"
#include "../core/registry.h"
#include "../core/simd_math.h"

namespace tg {
namespace {

constexpr int LANES = philox::LANES;
constexpr int64_t SERIAL_BELOW = 1 << 14;  // blocks; fewer are not worth waking threads for

// Calls make(words of one block, values) for the blocks behind `n` values, `PER_BLOCK` values a block.
template <int PER_BLOCK, class T, class F> void draw(T* out, int64_t n, int64_t seed, int64_t first_block, F make) {
    const int64_t blocks = (n + PER_BLOCK - 1) / PER_BLOCK;
#pragma omp parallel for schedule(static) if (blocks >= SERIAL_BELOW)
    for (int64_t b = 0; b < blocks; b += LANES) {
        uint32_t words[philox::WORDS];
        T values[PER_BLOCK * LANES];
        philox::words(uint64_t(seed), uint64_t(first_block) + uint64_t(b), words);
        for (int i = 0; i < LANES; ++i) make(words + 4 * i, values + PER_BLOCK * i);
        const int64_t left = n - PER_BLOCK * b;
        std::memcpy(out + PER_BLOCK * b, values, sizeof(T) * size_t(left < PER_BLOCK * LANES ? left : PER_BLOCK * LANES));
    }
}

inline uint64_t word64(const uint32_t* w) { return uint64_t(w[1]) << 32 | w[0]; }

// Uniform in [0, 1): as many bits as the significand holds, so that 1 is never reached by rounding.
inline float unit(const uint32_t* w, float) { return float(w[0] >> 8) * 0x1p-24f; }
inline double unit(const uint32_t* w, double) { return double(word64(w) >> 11) * 0x1p-53; }

// Uniform in (0, 1], from all bits: the logarithm of it is finite and reaches far into the tail.
inline float positive(const uint32_t* w, float) { return (float(w[0]) + 1.0f) * 0x1p-32f; }
inline double positive(const uint32_t* w, double) { return (double(word64(w) >> 11) + 1.0) * 0x1p-53; }

void philox(Array& out, int64_t seed, int64_t first_block) {
    draw<4>(out.ptr<uint32_t>(), out.size(), seed, first_block, [](const uint32_t* w, uint32_t* y) { std::memcpy(y, w, 16); });
}

void uniform(Array& out, int64_t seed, int64_t first_block, double low, double high) {
    dispatch_float(out.dtype, "uniform_", [&]<class T>() {
        constexpr int PER_BLOCK = 16 / sizeof(T), STEP = sizeof(T) / 4;
        const T a = T(low), span = T(high - low), last = std::nextafter(T(high), T(low));
        draw<PER_BLOCK>(out.ptr<T>(), out.size(), seed, first_block, [=](const uint32_t* w, T* y) {
            for (int i = 0; i < PER_BLOCK; ++i) {
                const T v = a + span * unit(w + STEP * i, T());
                y[i] = v < T(high) || span == T(0) ? v : last;  // the sum may round up to the open end
            }
        });
    });
}

// Box-Muller: two uniform numbers make two normal ones, sqrt(-2 ln u) (cos, sin)(2 pi v), a vector of pairs at a time.
void normal(Array& out, int64_t seed, int64_t first_block, double mean, double std) {
    dispatch_float(out.dtype, "normal_", [&]<class T>() {
        constexpr int STEP = sizeof(T) / 4, PAIRS = philox::WORDS / (2 * STEP), GROUP = 2 * PAIRS;
        const int64_t n = out.size(), groups = (n + GROUP - 1) / GROUP;
#pragma omp parallel for schedule(static) if (groups * philox::LANES >= SERIAL_BELOW)
        for (int64_t g = 0; g < groups; ++g) {
            uint32_t words[philox::WORDS];
            T u[PAIRS], v[PAIRS], values[GROUP];
            philox::words(uint64_t(seed), uint64_t(first_block) + uint64_t(g) * LANES, words);
            for (int i = 0; i < PAIRS; ++i) {
                u[i] = positive(words + 2 * STEP * i, T());
                v[i] = unit(words + 2 * STEP * i + STEP, T());
            }
            for (int i = 0; i < PAIRS; i += simd::W<T>) {
                simd::V<T> sin, cos;
                simd::sincos_turns<T>(simd::load<T>(v + i), sin, cos);
                const simd::V<T> radius = simd::sqrt<T>(simd::log_positive<T>(simd::load<T>(u + i)) * T(-2)) * T(std);
                simd::store<T>(u + i, cos * radius + T(mean));
                simd::store<T>(v + i, sin * radius + T(mean));
            }
            for (int i = 0; i < PAIRS; ++i) {
                values[2 * i] = u[i];
                values[2 * i + 1] = v[i];
            }
            const int64_t left = n - GROUP * g;
            std::memcpy(out.ptr<T>() + GROUP * g, values, sizeof(T) * size_t(left < GROUP ? left : GROUP));
        }
    });
}

void exponential(Array& out, int64_t seed, int64_t first_block, double rate) {
    dispatch_float(out.dtype, "exponential_", [&]<class T>() {
        constexpr int PER_BLOCK = 16 / sizeof(T), STEP = sizeof(T) / 4;
        draw<PER_BLOCK>(out.ptr<T>(), out.size(), seed, first_block, [=](const uint32_t* w, T* y) {
            for (int i = 0; i < PER_BLOCK; ++i) y[i] = -std::log(positive(w + STEP * i, T())) / T(rate);
        });
    });
}

// Integers in [low, low + count), count = 0 meaning all of 64 bits: the top half of a 64 x 64 bit product. The chance of a number
// is off by less than count / 2^64 of itself.
void integers(Array& out, int64_t seed, int64_t first_block, int64_t low, int64_t count) {
    const uint64_t n = uint64_t(count);
    draw<2>(out.ptr<int64_t>(), out.size(), seed, first_block, [=](const uint32_t* w, int64_t* y) {
        for (int i = 0; i < 2; ++i) {
            const uint64_t bits = word64(w + 2 * i);
            y[i] = int64_t(uint64_t(low) + (n ? uint64_t((unsigned __int128)(bits) * n >> 64) : bits));
        }
    });
}

TG_KERNEL(philox, "cpu/rounds", "int32", philox)
TG_KERNEL(uniform_, "cpu/philox", "float32 float64", uniform)
TG_KERNEL(normal_, "cpu/philox", "float32 float64", normal)
TG_KERNEL(exponential_, "cpu/philox", "float32 float64", exponential)
TG_KERNEL(random_, "cpu/philox", "int64", integers)

}  // namespace
}  // namespace tg
