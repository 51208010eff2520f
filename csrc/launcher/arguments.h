// One argument of a Triton kernel as Python gives it: what the compiled code depends on of it, and the bytes it is passed as.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <string>
#include <vector>

#include "driver.h"

namespace tg::launcher {

namespace py = pybind11;

inline int bfloat16_number = -1;

// Triton's name of a NumPy type number.
inline const char* triton_name(int number) {
    if (number == bfloat16_number) return "bf16";
    switch (number) {
        case 0: return "i1";
        case 1: return "i8";
        case 2: return "u8";
        case 3: return "i16";
        case 5: return "i32";
        case 7: case 9: return "i64";
        case 11: return "fp32";
        case 12: return "fp64";
        case 23: return "fp16";
    }
    throw std::invalid_argument("kernels do not take arrays of NumPy type number " + std::to_string(number));
}

inline int type_number(PyObject* descriptor) { return py::detail::array_descriptor_proxy(descriptor)->type_num; }

// The address of an array in the GPU's memory: CuPy's `a.data.ptr`.
inline uintptr_t address_of(PyObject* array) {
    static PyObject *const data = PyUnicode_InternFromString("data"), *const ptr = PyUnicode_InternFromString("ptr");
    const auto memory = py::reinterpret_steal<py::object>(PyObject_GetAttr(array, data));
    if (!memory) {
        PyErr_Clear();
        throw std::invalid_argument(std::string("kernels take arrays, numbers and None, not ") + Py_TYPE(array)->tp_name);
    }
    const auto number = py::reinterpret_steal<py::object>(PyObject_GetAttr(memory.ptr(), ptr));
    if (!number) {
        PyErr_Clear();
        throw std::invalid_argument("Triton kernels take arrays in the GPU's memory (CuPy's), not NumPy arrays");
    }
    const uintptr_t address = PyLong_AsUnsignedLongLong(number.ptr());
    if (address == uintptr_t(-1) && PyErr_Occurred()) throw py::error_already_set();
    return address;
}

inline int dtype_number(PyObject* array) {
    static PyObject* const dtype = PyUnicode_InternFromString("dtype");
    const auto descriptor = py::reinterpret_steal<py::object>(PyObject_GetAttr(array, dtype));
    if (!descriptor) throw py::error_already_set();
    return type_number(descriptor.ptr());
}

// NumPy's int64: a number of which nothing is compiled in, such as a seed. Of an int its size matters, whether it is 1, whether 16 divides it.
inline PyTypeObject* type_of_any_number() {
    static PyObject* const type = py::object(py::module_::import("numpy").attr("int64")).release().ptr();
    return reinterpret_cast<PyTypeObject*>(type);
}

// An array and the block of it that a tensor memory access moves: what becomes a CUtensorMap when a kernel takes it.
struct Descriptor {
    uintptr_t address;
    int dtype, itemsize;
    std::vector<int64_t> shape, strides, block;  // strides in elements
    py::object array;                            // keeps the memory

    Descriptor(const py::object& a, std::vector<int64_t> block_) : block(std::move(block_)), array(a) {
        address = address_of(a.ptr());
        const py::object descr = a.attr("dtype");
        dtype = type_number(descr.ptr());
        itemsize = descr.attr("itemsize").cast<int>();
        shape = a.attr("shape").cast<std::vector<int64_t>>();
        strides = a.attr("strides").cast<std::vector<int64_t>>();
        for (auto& s : strides) s /= itemsize;
        if (shape.size() != block.size()) throw std::invalid_argument("Descriptor: the block needs a size for each dimension of the array");
        if (shape.empty() || shape.size() > 5) throw std::invalid_argument("Descriptor: an array of 1 to 5 dimensions is due");
        if (strides.back() != 1 && shape.back() > 1) throw std::invalid_argument("Descriptor: the last dimension must be contiguous");
        if (address % 16) throw std::invalid_argument("Descriptor: the array must start at a multiple of 16 bytes");
        for (size_t i = 0; i + 1 < strides.size(); ++i)
            if (const auto bytes = strides[i] * itemsize; bytes % 16)
                throw std::invalid_argument("Descriptor: strides must be multiples of 16 bytes; dim " + std::to_string(i) + " has " + std::to_string(bytes));
        strides.back() = 1;
    }

    std::string type() const {
        std::string out = std::string("tensordesc<") + triton_name(dtype) + "[";
        for (size_t i = 0; i < block.size(); ++i) out += (i ? ", " : "") + std::to_string(block[i]);
        return out + "]>";
    }
};

// What the compiler said about a descriptor of a kernel: how the copies go through shared memory.
struct Copies {
    int swizzle, element;  // CUtensorMapSwizzle, CUtensorMapDataType
    std::vector<uint32_t> box;
};

inline void encode(const Descriptor& d, const Copies& copies, void* map) {
    uint64_t shape[5], strides[5];
    uint32_t box[5], steps[5];
    const size_t rank = d.shape.size();
    for (size_t i = 0; i < rank; ++i) {  // the innermost dimension comes first
        shape[rank - 1 - i] = uint64_t(d.shape[i]);
        box[rank - 1 - i] = copies.box[i];
        steps[i] = 1;
        if (i + 1 < rank) strides[rank - 2 - i] = uint64_t(d.strides[i]) * uint64_t(d.itemsize);
    }
    const auto make = driver::table().tensor_map;
    if (!make) throw std::runtime_error("NVIDIA's driver here has no cuTensorMapEncodeTiled: tensor memory access needs driver 525 or newer");
    constexpr int NOT_INTERLEAVED = 0, PROMOTE_128 = 2, FILL_ZEROS = 0;
    driver::check(make(map, copies.element, uint32_t(rank), reinterpret_cast<void*>(d.address), shape, strides, box, steps, NOT_INTERLEAVED,
                       copies.swizzle, PROMOTE_128, FILL_ZEROS), "cuTensorMapEncodeTiled");
}

// What the code is compiled for, of an argument: its kind, dtype, whether it is 1, whether it divides by 16. In the key of the variant.
struct Trait {
    char kind;         // n: None, b: bool, 1: the number one, i, l: int of 32, 64 bits, f: float, p: array, t: descriptor
    char divisible;    // by 16: the address or the number
    int16_t dtype;     // NumPy's type number of an array's elements
};

struct Argument {
    Trait trait;
    union {
        uint64_t word;
        double real;
        const Descriptor* descriptor;
    };
};

inline Argument read(PyObject* arg) {
    Argument a{{'n', 0, 0}, {0}};
    if (arg == Py_None) return a;
    if (PyBool_Check(arg)) {
        a.trait.kind = 'b';
        a.word = arg == Py_True;
    } else if (PyLong_Check(arg)) {
        const long long v = PyLong_AsLongLong(arg);
        if (v == -1 && PyErr_Occurred()) throw py::error_already_set();
        a.word = uint64_t(v);
        a.trait.kind = v == 1 ? '1' : v == int32_t(v) ? 'i' : 'l';
        a.trait.divisible = v % 16 == 0;
    } else if (PyFloat_Check(arg)) {
        a.trait.kind = 'f';
        a.real = PyFloat_AS_DOUBLE(arg);
    } else if (py::isinstance<Descriptor>(arg)) {
        a.trait.kind = 't';
        a.descriptor = py::cast<const Descriptor*>(py::handle(arg));
        a.trait.dtype = int16_t(a.descriptor->dtype);
    } else if (Py_TYPE(arg) == type_of_any_number()) {
        a.trait.kind = 'l';
        a.word = uint64_t(py::cast<int64_t>(py::handle(arg)));
    } else {
        a.trait.kind = 'p';
        a.word = address_of(arg);
        a.trait.divisible = a.word % 16 == 0;
        a.trait.dtype = int16_t(dtype_number(arg));
    }
    return a;
}

// The type as Triton's compiler reads it; "constexpr" for what is compiled in.
inline std::string type_of(const Argument& a) {
    switch (a.trait.kind) {
        case 'n': case '1': return "constexpr";
        case 'b': return "u1";
        case 'i': return "i32";
        case 'l': return "i64";
        case 'f': return "fp32";
        case 't': return a.descriptor->type();
    }
    return std::string("*") + triton_name(a.trait.dtype);
}

}  // namespace tg::launcher
