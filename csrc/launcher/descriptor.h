// Arrays that a kernel reads and writes by tensor memory access: a CUtensorMap when it takes them.
//
// What a map says besides the address, the same for all arrays of a layout, is checked once, in a Layout; layout(array) costs little.
#pragma once
#include <cstddef>

#include "array.h"
#include "driver.h"

namespace tg::launcher {

constexpr size_t MOST_DIMENSIONS = 5;

struct Layout {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    int itemsize;
    size_t rank;
    int64_t shape[MOST_DIMENSIONS], strides[MOST_DIMENSIONS], block[MOST_DIMENSIONS];  // strides in elements
};

// An array of a layout. It keeps the array's memory.
struct Descriptor {
    PyObject_HEAD
    Layout* layout;
    PyObject* array;
    uintptr_t address;
    int dtype;
};

inline PyTypeObject layout_type{}, descriptor_type{};

inline std::string type_of(const Descriptor& d) {
    std::string out = std::string("tensordesc<") + triton_name(d.dtype) + "[";
    for (size_t i = 0; i < d.layout->rank; ++i) out += (i ? ", " : "") + std::to_string(d.layout->block[i]);
    return out + "]>";
}

inline PyObject* make_descriptor(Layout* layout, PyObject* array) {
    const uintptr_t address = address_of(array);
    if (address % 16) throw std::invalid_argument("Descriptor: the array must start at a multiple of 16 bytes");
    static PyObject* const name = PyUnicode_InternFromString("dtype");
    const auto dtype = py::reinterpret_steal<py::dtype>(PyObject_GetAttr(array, name));
    if (!dtype) throw py::error_already_set();
    if (dtype.itemsize() != layout->itemsize)
        throw std::invalid_argument("Descriptor: a layout of elements of " + std::to_string(layout->itemsize) + " bytes was given an array with elements of " +
                                    std::to_string(dtype.itemsize()));
    auto* d = PyObject_New(Descriptor, &descriptor_type);
    if (!d) throw py::error_already_set();
    d->layout = reinterpret_cast<Layout*>(Py_NewRef(reinterpret_cast<PyObject*>(layout)));
    d->array = Py_NewRef(array);
    d->address = address;
    d->dtype = type_number(dtype.ptr());
    return reinterpret_cast<PyObject*>(d);
}

inline PyObject* layout_call(PyObject* self, PyObject* const* args, size_t flags, PyObject* kwnames) {
    if (PyVectorcall_NARGS(flags) != 1 || kwnames) return PyErr_Format(PyExc_TypeError, "a layout takes one array");
    try {
        return make_descriptor(reinterpret_cast<Layout*>(self), args[0]);
    } catch (py::error_already_set& e) {
        e.restore();
    } catch (const std::exception& e) {
        PyErr_SetString(PyExc_ValueError, e.what());
    }
    return nullptr;
}

// Strides in bytes, as arrays have them.
inline py::object make_layout(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides, int itemsize, const std::vector<int64_t>& block) {
    if (shape.size() != block.size() || strides.size() != shape.size())
        throw std::invalid_argument("Descriptor: the block needs a size for each dimension of the array");
    if (shape.empty() || shape.size() > MOST_DIMENSIONS) throw std::invalid_argument("Descriptor: an array of 1 to 5 dimensions is due");
    if (strides.back() != itemsize && shape.back() > 1) throw std::invalid_argument("Descriptor: the last dimension must be contiguous");
    for (size_t i = 0; i + 1 < strides.size(); ++i)
        if (strides[i] % 16)
            throw std::invalid_argument("Descriptor: strides must be multiples of 16 bytes; dim " + std::to_string(i) + " has " + std::to_string(strides[i]));
    auto* l = PyObject_New(Layout, &layout_type);
    if (!l) throw py::error_already_set();
    l->vectorcall = layout_call;
    l->itemsize = itemsize;
    l->rank = shape.size();
    for (size_t i = 0; i < l->rank; ++i) {
        l->shape[i] = shape[i];
        l->strides[i] = i + 1 < l->rank ? strides[i] / itemsize : 1;
        l->block[i] = block[i];
    }
    return py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(l));
}

// What the compiler said about a descriptor of a kernel: how the copies go through shared memory.
struct Copies {
    int swizzle, element;  // CUtensorMapSwizzle, CUtensorMapDataType
    std::vector<uint32_t> box;
};

inline void encode(const Descriptor& d, const Copies& copies, void* map) {
    const Layout& l = *d.layout;
    uint64_t shape[MOST_DIMENSIONS], strides[MOST_DIMENSIONS];
    uint32_t box[MOST_DIMENSIONS], steps[MOST_DIMENSIONS];
    for (size_t i = 0; i < l.rank; ++i) {  // the innermost dimension comes first
        shape[l.rank - 1 - i] = uint64_t(l.shape[i]);
        box[l.rank - 1 - i] = copies.box[i];
        steps[i] = 1;
        if (i + 1 < l.rank) strides[l.rank - 2 - i] = uint64_t(l.strides[i]) * uint64_t(l.itemsize);
    }
    const auto make = driver::table().tensor_map;
    if (!make) throw std::runtime_error("NVIDIA's driver here has no cuTensorMapEncodeTiled: tensor memory access needs driver 525 or newer");
    constexpr int NOT_INTERLEAVED = 0, PROMOTE_128 = 2, FILL_ZEROS = 0;
    driver::check(make(map, copies.element, uint32_t(l.rank), reinterpret_cast<void*>(d.address), shape, strides, box, steps, NOT_INTERLEAVED, copies.swizzle,
                       PROMOTE_128, FILL_ZEROS), "cuTensorMapEncodeTiled");
}

inline void make_descriptor_types() {
    Py_SET_REFCNT(reinterpret_cast<PyObject*>(&layout_type), 1);
    layout_type.tp_name = "tensorgrad.TritonLayout";
    layout_type.tp_basicsize = sizeof(Layout);
    layout_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL;
    layout_type.tp_vectorcall_offset = offsetof(Layout, vectorcall);
    layout_type.tp_call = PyVectorcall_Call;
    Py_SET_REFCNT(reinterpret_cast<PyObject*>(&descriptor_type), 1);
    descriptor_type.tp_name = "tensorgrad.TritonDescriptor";
    descriptor_type.tp_basicsize = sizeof(Descriptor);
    descriptor_type.tp_flags = Py_TPFLAGS_DEFAULT;
    descriptor_type.tp_dealloc = [](PyObject* self) {
        auto* d = reinterpret_cast<Descriptor*>(self);
        Py_DECREF(reinterpret_cast<PyObject*>(d->layout));
        Py_DECREF(d->array);
        PyObject_Free(self);
    };
    if (PyType_Ready(&layout_type) < 0 || PyType_Ready(&descriptor_type) < 0) throw py::error_already_set();
}

}  // namespace tg::launcher
