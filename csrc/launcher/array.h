// What the launcher reads of an array in the GPU's memory.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <string>
#include <vector>

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

}  // namespace tg::launcher
