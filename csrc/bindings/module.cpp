// The one Python module built from csrc: a list of kernels, each a callable that takes arrays, lists of them, numbers and None.
// A kernel object is called through CPython's vectorcall: unpacking ten arguments costs well under a microsecond.
#include <omp.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <vector>

#include "../core/registry.h"

namespace py = pybind11;
using tg::Array;
using tg::DType;
using tg::Value;

namespace {

constexpr int MAX_ARGS = 40;
constexpr int64_t RELEASE_GIL_FROM = 16384;  // elements: below, letting go of the lock costs more than it gives
int bfloat16_number = -1;

// The dtype behind a NumPy descriptor and its size in bytes.
std::pair<DType, int> dtype_of(PyObject* descriptor) {
    const auto* descr = py::detail::array_descriptor_proxy(descriptor);
    if (descr->byteorder == '>') throw std::invalid_argument("kernels take arrays of native byte order only");
    const int num = descr->type_num;
    if (num == bfloat16_number) return {DType::bfloat16, 2};
    switch (num) {  // NumPy's type numbers
        case 0: return {DType::boolean, 1};
        case 1: return {DType::int8, 1};
        case 2: return {DType::uint8, 1};
        case 3: return {DType::int16, 2};
        case 5: return {DType::int32, 4};
        case 7: case 9: return {DType::int64, 8};
        case 11: return {DType::float32, 4};
        case 12: return {DType::float64, 8};
        case 23: return {DType::float16, 2};
    }
    throw std::invalid_argument("kernels do not take arrays of NumPy type number " + std::to_string(num));
}

struct KernelObject {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    const tg::Kernel* kernel;
};

// A NumPy array's memory, shape and strides; returns its element count.
int64_t unpack_host(PyObject* arg, Array& a) {
    auto* p = py::detail::array_proxy(arg);
    const auto [dtype, item] = dtype_of(p->descr);
    a.dtype = dtype;
    a.ndim = p->nd;
    if (p->nd > tg::MAX_DIMS) throw std::invalid_argument("arrays of more than 16 dimensions are not supported by kernels");
    a.data = p->data;
    int64_t n = 1;
    for (int i = 0; i < p->nd; ++i) {
        a.shape[i] = p->dimensions[i];
        if (p->dimensions[i] > 1 && p->strides[i] % item) throw std::invalid_argument("strides must be whole elements; copy the array");
        a.strides[i] = p->strides[i] / item;
        n *= p->dimensions[i];
    }
    return n;
}

// The same of an array in a GPU's memory, by the attributes CuPy gives it: dtype, shape, strides, data.ptr.
int64_t unpack_device(PyObject* arg, Array& a) {
    const auto o = py::reinterpret_borrow<py::object>(arg);
    const py::tuple shape = o.attr("shape"), strides = o.attr("strides");
    const py::object descr = o.attr("dtype");
    const auto [dtype, item] = dtype_of(descr.ptr());
    a.dtype = dtype;
    a.ndim = int(shape.size());
    if (a.ndim > tg::MAX_DIMS) throw std::invalid_argument("arrays of more than 16 dimensions are not supported by kernels");
    a.data = reinterpret_cast<void*>(o.attr("data").attr("ptr").cast<uintptr_t>());
    int64_t n = 1;
    for (int i = 0; i < a.ndim; ++i) {
        a.shape[i] = shape[i].cast<int64_t>();
        const auto step = strides[i].cast<int64_t>();
        if (a.shape[i] > 1 && step % item) throw std::invalid_argument("strides must be whole elements; copy the array");
        a.strides[i] = step / item;
        n *= a.shape[i];
    }
    return n;
}

#ifdef TG_DEVICE_ARRAYS  // this module's kernels work on a GPU's memory
constexpr bool ON_DEVICE = true;
#else
constexpr bool ON_DEVICE = false;
#endif

// Fills `a` from an array; returns its element count.
int64_t unpack_array(PyObject* arg, Array& a, PyTypeObject* ndarray) {
    const bool host = PyObject_TypeCheck(arg, ndarray);
    if (ON_DEVICE && host) throw std::invalid_argument("CUDA kernels take arrays in the GPU's memory (CuPy's), not NumPy arrays");
    if (!host && !(ON_DEVICE && PyObject_HasAttrString(arg, "__cuda_array_interface__")))
        throw std::invalid_argument(std::string("kernels take arrays, numbers and None, not ") + Py_TYPE(arg)->tp_name);
    const int64_t n = host ? unpack_host(arg, a) : unpack_device(arg, a);
    static char empty;
    if (!a.data) a.data = &empty;  // an empty array is not None
    return n;
}

// Fills `v` from a Python argument; returns its element count. The arrays of a list are kept in `lists`.
int64_t unpack(PyObject* arg, Value& v, std::vector<std::vector<Array>>& lists, PyTypeObject* ndarray) {
    if (arg == Py_None) {
        v.kind = Value::none;
        v.a.data = nullptr;
        return 0;
    }
    if (PyFloat_Check(arg)) {
        v.kind = Value::real;
        v.d = PyFloat_AS_DOUBLE(arg);
        return 0;
    }
    if (PyLong_Check(arg)) {
        v.kind = Value::integer;
        v.i = PyLong_AsLongLong(arg);
        if (v.i == -1 && PyErr_Occurred()) throw py::error_already_set();
        return 0;
    }
    if (PyList_Check(arg)) {
        v.kind = Value::list;
        std::vector<Array>& items = lists.emplace_back(size_t(PyList_GET_SIZE(arg)));
        int64_t n = 0;
        for (size_t i = 0; i < items.size(); ++i)
            if (PyObject* item = PyList_GET_ITEM(arg, Py_ssize_t(i)); item != Py_None) n += unpack_array(item, items[i], ndarray);
        v.list_of = {items.data(), int64_t(items.size())};
        return n;
    }
    v.kind = Value::array;
    return unpack_array(arg, v.a, ndarray);
}

void check_writeable(PyObject* arg, int position, PyTypeObject* ndarray) {
    if (PyList_Check(arg)) {
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(arg); ++i) check_writeable(PyList_GET_ITEM(arg, i), position, ndarray);
    } else if (PyObject_TypeCheck(arg, ndarray) && !(py::detail::array_proxy(arg)->flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_)) {
        throw std::invalid_argument("argument " + std::to_string(position) + " is read-only but would be written");
    }
}

PyTypeObject* ndarray_type() {
    static PyTypeObject* type = reinterpret_cast<PyTypeObject*>(py::object(py::module_::import("numpy").attr("ndarray")).release().ptr());
    return type;
}

PyObject* kernel_call(PyObject* self, PyObject* const* args, size_t flags, PyObject* kwnames) {
    const tg::Kernel& k = *reinterpret_cast<KernelObject*>(self)->kernel;
    try {
        const auto n = PyVectorcall_NARGS(flags);
        if (kwnames && PyTuple_GET_SIZE(kwnames)) throw std::invalid_argument("kernels take positional arguments only");
        if (n != k.arity) throw std::invalid_argument("expected " + std::to_string(k.arity) + " arguments, got " + std::to_string(n));
        tg::check_chip(k);
        Value values[MAX_ARGS];
        std::vector<std::vector<Array>> lists;
        int64_t largest = 0;
        for (int i = 0; i < n; ++i) largest = std::max(largest, unpack(args[i], values[i], lists, ndarray_type()));
        for (int i : k.writes)
            if (!ON_DEVICE) check_writeable(args[i], i, ndarray_type());
        if (largest >= RELEASE_GIL_FROM) {
            py::gil_scoped_release release;
            tg::invoke(k, values);
        } else {
            tg::invoke(k, values);
        }
    } catch (py::error_already_set& e) {
        e.restore();
        return nullptr;
    } catch (const std::runtime_error& e) {  // the launch or the kernel failed
        PyErr_Format(PyExc_RuntimeError, "%s (%s): %s", k.op, k.path, e.what());
        return nullptr;
    } catch (const std::exception& e) {
        PyErr_Format(PyExc_ValueError, "%s (%s): %s", k.op, k.path, e.what());
        return nullptr;
    }
    Py_RETURN_NONE;
}

PyObject* kernel_repr(PyObject* self) {
    const tg::Kernel& k = *reinterpret_cast<KernelObject*>(self)->kernel;
    return PyUnicode_FromFormat("<kernel %s of %s>", k.path, k.op);
}

PyTypeObject kernel_type{};  // filled in below: there are fifty fields and five of them matter

void make_kernel_type() {
    Py_SET_REFCNT(reinterpret_cast<PyObject*>(&kernel_type), 1);
    kernel_type.tp_name = "tensorgrad.CompiledKernel";
    kernel_type.tp_basicsize = sizeof(KernelObject);
    kernel_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL;
    kernel_type.tp_vectorcall_offset = offsetof(KernelObject, vectorcall);
    kernel_type.tp_call = PyVectorcall_Call;
    kernel_type.tp_repr = kernel_repr;
    if (PyType_Ready(&kernel_type) < 0) throw py::error_already_set();
}

py::object make_kernel(const tg::Kernel& k) {
    auto* o = PyObject_New(KernelObject, &kernel_type);
    if (!o) throw py::error_already_set();
    o->vectorcall = kernel_call;
    o->kernel = &k;
    return py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(o));
}

}  // namespace

#ifdef TG_EXTRAS
void TG_EXTRAS(py::module_& m);  // what a family adds to its module
#endif

PYBIND11_MODULE(TG_MODULE, m) {
    m.doc() = "Compiled kernels of tensorgrad";
    make_kernel_type();
    bfloat16_number = py::dtype::from_args(py::module_::import("ml_dtypes").attr("bfloat16")).num();
    m.attr("isa") = TG_ISA;
    m.def("kernels", [] {
        py::list out;
        for (const tg::Kernel& k : tg::registry())
            out.append(py::make_tuple(k.op, k.path, k.dtypes, k.source, py::tuple(py::cast(k.writes)), make_kernel(k),
                                      py::make_tuple(k.chips.first, k.chips.last), k.deterministic));
        return out;
    }, "(op, path, dtypes, source, positions written, callable, (first, last) compute capability, whether deterministic) of every kernel");
    m.def("set_num_threads", [](int n) { omp_set_num_threads(n); });
    m.def("get_num_threads", [] { return omp_get_max_threads(); });
#ifdef TG_EXTRAS
    TG_EXTRAS(m);
#endif
}
