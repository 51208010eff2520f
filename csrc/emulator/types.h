// CUDA's types: dim3, vectors, half and bfloat16.
#pragma once
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

// A vector type is a union with a GCC vector, so that copying one stays a single access of its full width and alignment.
#define EMU_VECTOR(name, type, count, ...)                                                                   \
    struct name {                                                                                            \
        typedef type Whole __attribute__((vector_size(sizeof(type) * count), may_alias));                    \
        union {                                                                                              \
            struct {                                                                                         \
                type __VA_ARGS__;                                                                            \
            };                                                                                               \
            Whole whole;                                                                                     \
        };                                                                                                   \
        name() = default;                                                                                    \
        name(const name& o) : whole(o.whole) {}                                                              \
        name& operator=(const name& o) {                                                                     \
            whole = o.whole;                                                                                 \
            return *this;                                                                                    \
        }                                                                                                    \
        static name of(Whole w) {                                                                            \
            name v;                                                                                          \
            v.whole = w;                                                                                     \
            return v;                                                                                        \
        }                                                                                                    \
    };
EMU_VECTOR(float2, float, 2, x, y)
EMU_VECTOR(float4, float, 4, x, y, z, w)
EMU_VECTOR(double2, double, 2, x, y)
EMU_VECTOR(int2, int, 2, x, y)
EMU_VECTOR(int4, int, 4, x, y, z, w)
EMU_VECTOR(uint2, unsigned, 2, x, y)
EMU_VECTOR(uint4, unsigned, 4, x, y, z, w)
#undef EMU_VECTOR
static_assert(sizeof(float4) == 16 && alignof(float4) == 16 && alignof(float2) == 8);

inline float2 make_float2(float x, float y) { return float2::of(float2::Whole{x, y}); }
inline float4 make_float4(float x, float y, float z, float w) { return float4::of(float4::Whole{x, y, z, w}); }
inline double2 make_double2(double x, double y) { return double2::of(double2::Whole{x, y}); }
inline int2 make_int2(int x, int y) { return int2::of(int2::Whole{x, y}); }
inline int4 make_int4(int x, int y, int z, int w) { return int4::of(int4::Whole{x, y, z, w}); }
inline uint2 make_uint2(unsigned x, unsigned y) { return uint2::of(uint2::Whole{x, y}); }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return uint4::of(uint4::Whole{x, y, z, w}); }

struct __nv_bfloat16 {
    uint16_t bits;
    __nv_bfloat16() = default;
    __nv_bfloat16(float f) {
        const auto u = std::bit_cast<uint32_t>(f);
        bits = (u & 0x7fffffff) > 0x7f800000 ? 0x7fff : uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16);  // to nearest even
    }
    operator float() const { return std::bit_cast<float>(uint32_t(bits) << 16); }
};

namespace emu {
#ifdef __aarch64__
using Binary16 = __fp16;  // the compiler's type of 16 bits; GCC 12 has no _Float16 in C++ here
#else
using Binary16 = _Float16;
#endif
}  // namespace emu

struct __half {
    uint16_t bits;
    __half() = default;
    __half(float f) : bits(std::bit_cast<uint16_t>(emu::Binary16(f))) {}
    operator float() const { return float(std::bit_cast<emu::Binary16>(bits)); }
};

struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};
struct alignas(4) __half2 {
    __half x, y;
};

inline float __bfloat162float(__nv_bfloat16 x) { return x; }
inline __nv_bfloat16 __float2bfloat16(float x) { return x; }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {x, y}; }
inline float __half2float(__half x) { return x; }
inline __half __float2half(float x) { return x; }
inline __half2 __floats2half2_rn(float x, float y) { return {x, y}; }
