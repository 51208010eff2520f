// A strided view of memory owned by Python. Kernels read and write these; nothing here allocates or frees.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

namespace tg {

enum class DType : uint8_t { float64, float32, float16, bfloat16, int64, int32, int16, int8, uint8, boolean };

constexpr int MAX_DIMS = 16;

struct Array {
    void* data = nullptr;
    DType dtype = DType::float32;
    int ndim = 0;
    int64_t shape[MAX_DIMS];
    int64_t strides[MAX_DIMS];  // in elements

    template <class T> T* ptr() const { return static_cast<T*>(data); }
    explicit operator bool() const { return data != nullptr; }  // false: Python passed None

    int64_t size() const {
        int64_t n = 1;
        for (int i = 0; i < ndim; ++i) n *= shape[i];
        return n;
    }
    bool contiguous() const {
        int64_t step = 1;
        for (int i = ndim - 1; i >= 0; --i) {
            if (shape[i] != 1 && strides[i] != step) return false;
            step *= shape[i];
        }
        return true;
    }
};

// Arrays that a kernel takes as one argument: a list in Python, where None may stand for some of them or for all.
struct Arrays {
    Array* items = nullptr;
    int64_t count = 0;

    Array& operator[](int64_t i) const { return items[i]; }
    explicit operator bool() const { return count > 0; }  // false: Python passed None, or a list of nothing
};

// The C++ type behind a dtype, for `dispatch(x.dtype, [&]<class T>() { ... })` over float and double.
template <class F> void dispatch_float(DType dtype, const char* op, F&& f) {
    if (dtype == DType::float32) f.template operator()<float>();
    else if (dtype == DType::float64) f.template operator()<double>();
    else throw std::invalid_argument(std::string(op) + ": the kernel computes float32 and float64 only");
}

}  // namespace tg
