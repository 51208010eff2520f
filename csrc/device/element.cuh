// Elements of any floating dtype: the type to compute in, 16 bytes at a time, and which dtype a launch is for.
#pragma once
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "../core/array.h"
#include "../gpu.h"

namespace tg::device {

// Half precision is computed in float and rounded once.
template <class T> struct Computed {
    using type = float;
};
template <> struct Computed<double> {
    using type = double;
};
template <class T> using Wide = typename Computed<T>::type;

template <class T> constexpr int PACK = 16 / int(sizeof(T));  // elements of one load or store of 16 bytes

template <class T> __device__ inline void load_pack(Wide<T> (&to)[PACK<T>], const T* from) {
    const uint4 raw = *reinterpret_cast<const uint4*>(from);
    T items[PACK<T>];
    memcpy(items, &raw, sizeof raw);
#pragma unroll
    for (int i = 0; i < PACK<T>; ++i) to[i] = static_cast<Wide<T>>(items[i]);
}

template <class T> __device__ inline void store_pack(T* to, const Wide<T> (&from)[PACK<T>]) {
    T items[PACK<T>];
#pragma unroll
    for (int i = 0; i < PACK<T>; ++i) items[i] = static_cast<T>(from[i]);
    uint4 raw;
    memcpy(static_cast<void*>(&raw), items, sizeof raw);
    *reinterpret_cast<uint4*>(to) = raw;
}

inline bool aligned_16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }  // null is

// A parameter beside elements of type T: None, of that type, or float32 beside half precision.
template <class T> struct Parameter {
    const void* data;
    bool wide;
    explicit Parameter(const Array& a) : data(a.data), wide(a.dtype == DType::float32 && sizeof(T) == 2) {}
    __device__ explicit operator bool() const { return data != nullptr; }
    __device__ Wide<T> operator[](int64_t i) const {
        return sizeof(T) == 2 && wide ? Wide<T>(static_cast<const float*>(data)[i]) : static_cast<Wide<T>>(static_cast<const T*>(data)[i]);
    }
};

// The same, to be written; nothing happens where it is missing.
template <class T> struct WrittenParameter {
    void* data;
    bool wide;
    explicit WrittenParameter(const Array& a) : data(a.data), wide(a.dtype == DType::float32 && sizeof(T) == 2) {}
    __host__ __device__ explicit operator bool() const { return data != nullptr; }
    __device__ Wide<T> operator[](int64_t i) const {
        return sizeof(T) == 2 && wide ? Wide<T>(static_cast<float*>(data)[i]) : static_cast<Wide<T>>(static_cast<T*>(data)[i]);
    }
    __device__ void store(int64_t i, Wide<T> value) const {
        if (!data) return;
        if (sizeof(T) == 2 && wide) static_cast<float*>(data)[i] = float(value);
        else static_cast<T*>(data)[i] = static_cast<T>(value);
    }
};

constexpr const char* FLOATS = "float32 float64 float16 bfloat16";

// f.operator()<T>() for the type behind a dtype of FLOATS.
template <class F> void by_dtype(DType dtype, F&& f) {
    if (dtype == DType::float32) f.template operator()<float>();
    else if (dtype == DType::float64) f.template operator()<double>();
    else if (dtype == DType::float16) f.template operator()<__half>();
    else if (dtype == DType::bfloat16) f.template operator()<__nv_bfloat16>();
    else throw std::invalid_argument(std::string("the kernel computes ") + FLOATS + " only");
}

// Blocks for `count` items, `each` to a block.
inline dim3 blocks_for(int64_t count, int64_t each) {
    const int64_t blocks = (count + each - 1) / each;
    if (blocks > 0x7fffffff) throw std::invalid_argument(std::to_string(blocks) + " blocks are more than a grid has");
    return dim3(unsigned(blocks));
}

// A length that kernels count with 32 bits, with room for a step beyond it.
inline int length_of(int64_t n, const char* what) {
    if (n > 1 << 30) throw std::invalid_argument(std::string(what) + " of " + std::to_string(n) + " is beyond 2^30");
    return int(n);
}

}  // namespace tg::device
