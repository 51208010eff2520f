// One argument of a Triton kernel as Python gives it: what the compiled code depends on of it, and the bytes it is passed as.
#pragma once
#include "descriptor.h"

namespace tg::launcher {

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

// NumPy's int64: a number of which nothing is compiled in, such as a seed. Of an int its size matters, whether it is 1, whether 16 divides it.
inline PyTypeObject* type_of_any_number() {
    static PyObject* const type = py::object(py::module_::import("numpy").attr("int64")).release().ptr();
    return reinterpret_cast<PyTypeObject*>(type);
}

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
    } else if (Py_TYPE(arg) == &descriptor_type) {
        a.trait.kind = 't';
        a.descriptor = reinterpret_cast<const Descriptor*>(arg);
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
        case 't': return type_of(*a.descriptor);
    }
    return std::string("*") + triton_name(a.trait.dtype);
}

}  // namespace tg::launcher
