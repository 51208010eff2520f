// Launches what Triton has compiled: `kernel[grid](*arguments, **constants)`. README.md in tensorgrad/triton tells the story.
//
// A Kernel keeps a variant for each context, kinds of arguments and constants it has been called with. The first call of a kind asks
// Python for the machine code, and loads it; any later one costs a look into the table and cuLaunchKernel. Parameters are packed into
// a buffer on the stack, so threads do not meet. What does not change from call to call can be bound, and is read once.
#include <algorithm>
#include <memory>
#include <unordered_map>

#include "arguments.h"

namespace tg::launcher {

namespace {

constexpr int MAX_ARGUMENTS = 64;
constexpr size_t MAX_PARAMETER_BYTES = 4096;

thread_local driver::Stream current_stream = nullptr;
PyObject* allocate = nullptr;  // Python's: bytes -> something with a `ptr`

struct Scratch {
    size_t size, align;  // of a program
};

struct Variant {
    driver::Function function;
    unsigned threads, shared;
    Scratch scratch[2];  // global and profile, which every kernel takes after its arguments
    std::vector<Copies> descriptors;
};

struct Kernel {
    PyObject_HEAD
    PyObject* name;
    PyObject* compile;
    std::unordered_map<std::string, Variant>* variants;
};

// The end of a call, read once: its last arguments, which are numbers or None, and its constants.
struct Tail {
    std::vector<Argument> arguments;
    std::vector<py::object> constants;
    py::object names;
    std::string key;  // of both
};

struct Launch {  // kernel[grid]
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Kernel* kernel;
    int64_t grid[3];
    Tail* tail;  // null: each call has its own
};

// Adds a constant to a variant's key, so that no two of them give the same bytes.
void add_constant(std::string& key, PyObject* name, PyObject* value) {
    Py_ssize_t n;
    const char* text = PyUnicode_AsUTF8AndSize(name, &n);
    key.append(text, size_t(n) + 1);
    const auto put = [&](char kind, const void* bytes, size_t count) {
        key += kind;
        key.append(static_cast<const char*>(bytes), count);
    };
    if (value == Py_None || PyBool_Check(value)) {
        key += value == Py_None ? 'n' : value == Py_True ? 'y' : 'z';
    } else if (PyLong_Check(value)) {
        const long long v = PyLong_AsLongLong(value);
        if (v == -1 && PyErr_Occurred()) throw py::error_already_set();
        put('i', &v, sizeof v);
    } else if (PyFloat_Check(value)) {
        const double v = PyFloat_AS_DOUBLE(value);
        put('f', &v, sizeof v);
    } else if (PyUnicode_Check(value)) {
        text = PyUnicode_AsUTF8AndSize(value, &n);
        put('s', &n, sizeof n);
        key.append(text, size_t(n));
    } else {
        throw std::invalid_argument(std::string("the constant ") + PyUnicode_AsUTF8(name) + " must be None, a bool, an int, a float or a str, not " +
                                    Py_TYPE(value)->tp_name);
    }
}

// The constants of a call: their values, and their names or null.
struct Constants {
    PyObject* const* values;
    PyObject* names;
    Py_ssize_t count() const { return names ? PyTuple_GET_SIZE(names) : 0; }
    PyObject* name(Py_ssize_t i) const { return PyTuple_GET_ITEM(names, i); }
};

void add_constants(std::string& key, const Constants& constants) {
    for (Py_ssize_t i = 0; i < constants.count(); ++i) add_constant(key, constants.name(i), constants.values[i]);
}

void add_trait(std::string& key, const Argument& a) {
    key.append(reinterpret_cast<const char*>(&a.trait), sizeof(Trait));
    if (a.trait.kind == 't') key.append(reinterpret_cast<const char*>(a.descriptor->layout->block), a.descriptor->layout->rank * sizeof(int64_t));
}

// Compiles and loads what this call needs.
Variant make(Kernel* k, const std::vector<Argument>& args, const Constants& constants) {
    py::list types, divisible;
    py::dict given;
    for (const Argument& a : args) {
        types.append(type_of(a));
        divisible.append(bool(a.trait.divisible) && (a.trait.kind == 'p' || a.trait.kind == 'i' || a.trait.kind == 'l'));
    }
    py::list ones;
    for (const Argument& a : args) ones.append(a.trait.kind == '1' ? py::object(py::int_(1)) : py::object(py::none()));
    for (Py_ssize_t i = 0; i < constants.count(); ++i) given[constants.name(i)] = py::handle(constants.values[i]);
    const py::object made = py::reinterpret_borrow<py::object>(k->compile)(driver::chip(), types, divisible, ones, given);
    Variant v{};
    const std::string image = made.attr("cubin").cast<std::string>(), name = made.attr("name").cast<std::string>();
    v.threads = made.attr("threads").cast<unsigned>();
    v.shared = made.attr("shared").cast<unsigned>();
    int i = 0;
    for (const auto pair : made.attr("scratch")) {
        const auto [size, align] = pair.cast<std::pair<size_t, size_t>>();
        v.scratch[i++] = {size, align};
    }
    for (const auto item : made.attr("descriptors")) {
        const auto [swizzle, element, box] = item.cast<std::tuple<int, int, std::vector<uint32_t>>>();
        v.descriptors.push_back({swizzle, element, box});
    }
    const auto& d = driver::table();
    driver::Module module = nullptr;  // lives as long as the process
    driver::check(d.module_load(&module, image.data()), "cuModuleLoadData");
    driver::check(d.module_function(&v.function, module, name.c_str()), "cuModuleGetFunction");
    if (v.shared > driver::SHARED_WITHOUT_ASKING)
        driver::check(d.function_set(v.function, driver::MAX_DYNAMIC_SHARED, int(v.shared)), "cuFuncSetAttribute",
                      ": the kernel needs " + std::to_string(v.shared) + " bytes of shared memory");
    return v;
}

// The parameters of a launch: bytes one after the other, each where its size wants it, and their addresses for the driver.
struct Parameters {
    alignas(64) unsigned char bytes[MAX_PARAMETER_BYTES];
    void* at[3 * MAX_ARGUMENTS + 2];
    size_t used = 0, count = 0;

    void* place(size_t size, size_t align) {
        used = (used + align - 1) / align * align;
        if (used + size > sizeof bytes || count >= std::size(at)) throw std::invalid_argument("too many arguments");
        at[count++] = bytes + used;
        used += size;
        return at[count - 1];
    }
    template <class T> void add(T value) { std::memcpy(place(sizeof value, alignof(T)), &value, sizeof value); }

    void add(const Argument& a, const std::vector<Copies>& copies, size_t& descriptor) {
        switch (a.trait.kind) {
            case 'n': case '1': return;  // compiled in
            case 'b': return add(uint8_t(a.word));
            case 'i': return add(int32_t(a.word));
            case 'f': return add(float(a.real));
            case 't': {
                encode(*a.descriptor, copies.at(descriptor++), place(128, 64));
                const Layout& l = *a.descriptor->layout;
                for (size_t i = 0; i < l.rank; ++i) add(int32_t(l.shape[i]));
                for (size_t i = 0; i < l.rank; ++i) add(l.strides[i]);
                return;
            }
            default: add(a.word);
        }
    }
};

void launch(Launch* l, PyObject* const* args, Py_ssize_t n, PyObject* kwnames) {
    Kernel* k = l->kernel;
    const auto [gx, gy, gz] = l->grid;
    if (gx == 0 || gy == 0 || gz == 0) return;  // nothing to do, and the driver would refuse it
    if (n > MAX_ARGUMENTS) throw std::invalid_argument("too many arguments");
    static thread_local std::vector<Argument> read_;
    static thread_local std::string key;
    read_.clear();
    const driver::Context context = driver::context();
    key.assign(reinterpret_cast<const char*>(&context), sizeof context);
    for (Py_ssize_t i = 0; i < n; ++i) {
        read_.push_back(read(args[i]));
        add_trait(key, read_.back());
    }
    Constants constants{args + n, kwnames};
    if (const Tail* tail = l->tail) {
        if (kwnames) throw std::invalid_argument("the constants of this launch are bound already");
        read_.insert(read_.end(), tail->arguments.begin(), tail->arguments.end());
        if (read_.size() > size_t(MAX_ARGUMENTS)) throw std::invalid_argument("too many arguments");
        constants = {reinterpret_cast<PyObject* const*>(tail->constants.data()), tail->names.ptr()};
        key += tail->key;
    } else {
        add_constants(key, constants);
    }
    auto found = k->variants->find(key);
    if (found == k->variants->end()) {
        const std::vector<Argument> mine = read_;  // Python runs in between, and may launch
        const std::string my_key = key;
        found = k->variants->emplace(my_key, make(k, mine, constants)).first;  // another thread may have been faster
        read_ = mine;
    }
    const Variant& v = found->second;
    Parameters p;
    size_t descriptor = 0;
    for (const Argument& a : read_) p.add(a, v.descriptors, descriptor);
    py::object memory[2];
    for (int i = 0; i < 2; ++i) {
        uint64_t at = 0;
        if (const auto [size, align] = v.scratch[i]; size) {
            if (!allocate) throw std::runtime_error("the kernel needs memory to work in, and no device has said where from");
            const size_t bytes = size * size_t(gx) * size_t(gy) * size_t(gz) + align;
            memory[i] = py::reinterpret_borrow<py::object>(allocate)(bytes);
            at = (memory[i].attr("ptr").cast<uint64_t>() + align - 1) / align * align;
        }
        p.add(at);
    }
    const auto result = driver::table().launch(v.function, unsigned(gx), unsigned(gy), unsigned(gz), v.threads, 1, 1, v.shared, current_stream,
                                               p.at, nullptr);
    if (result != 0)
        driver::check(result, "cuLaunchKernel", "; grid (" + std::to_string(gx) + ", " + std::to_string(gy) + ", " + std::to_string(gz) + "), " +
                                                    std::to_string(v.threads) + " threads, " + std::to_string(v.shared) + " bytes of shared memory");
}

PyTypeObject kernel_type{}, launch_type{};  // filled in below

// Runs a function; what it throws becomes Python's exception, with the kernel's name in front.
template <class F> PyObject* guarded(Kernel* kernel, F function) {
    try {
        return function();
    } catch (py::error_already_set& e) {
        e.restore();
    } catch (const std::runtime_error& e) {
        PyErr_Format(PyExc_RuntimeError, "%U: %s", kernel->name, e.what());
    } catch (const std::exception& e) {
        PyErr_Format(PyExc_ValueError, "%U: %s", kernel->name, e.what());
    }
    return nullptr;
}

PyObject* launch_call(PyObject* self, PyObject* const* args, size_t flags, PyObject* kwnames) {
    auto* l = reinterpret_cast<Launch*>(self);
    return guarded(l->kernel, [&] {
        launch(l, args, PyVectorcall_NARGS(flags), kwnames);
        return Py_NewRef(Py_None);
    });
}

PyObject* make_launch(Kernel* kernel, const int64_t (&grid)[3], std::unique_ptr<Tail> tail) {
    auto* l = PyObject_New(Launch, &launch_type);
    if (!l) return nullptr;
    l->vectorcall = launch_call;
    l->kernel = reinterpret_cast<Kernel*>(Py_NewRef(reinterpret_cast<PyObject*>(kernel)));
    std::copy(grid, grid + 3, l->grid);
    l->tail = tail.release();
    return reinterpret_cast<PyObject*>(l);
}

// launch.bind(*last arguments, **constants): a launch that is called with the arguments before them.
PyObject* launch_bind(PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* kwnames) {
    auto* l = reinterpret_cast<Launch*>(self);
    return guarded(l->kernel, [&] {
        if (l->tail) throw std::invalid_argument("this launch is bound already");
        auto tail = std::make_unique<Tail>();
        for (Py_ssize_t i = 0; i < n; ++i) {
            tail->arguments.push_back(read(args[i]));
            if (const char kind = tail->arguments.back().trait.kind; kind == 'p' || kind == 't')
                throw std::invalid_argument("bind takes numbers and None; arrays are given to each call");
            add_trait(tail->key, tail->arguments.back());
        }
        const Constants constants{args + n, kwnames};
        add_constants(tail->key, constants);
        for (Py_ssize_t i = 0; i < constants.count(); ++i) tail->constants.push_back(py::reinterpret_borrow<py::object>(constants.values[i]));
        tail->names = py::reinterpret_borrow<py::object>(kwnames);
        return make_launch(l->kernel, l->grid, std::move(tail));
    });
}

void launch_dealloc(PyObject* self) {
    auto* l = reinterpret_cast<Launch*>(self);
    delete l->tail;
    Py_DECREF(l->kernel);
    PyObject_Free(self);
}

PyObject* kernel_subscript(PyObject* self, PyObject* grid) {
    int64_t sizes[3] = {1, 1, 1};
    constexpr int64_t MOST[3] = {2147483647, 65535, 65535};
    const bool tuple = PyTuple_Check(grid);
    const Py_ssize_t n = tuple ? PyTuple_GET_SIZE(grid) : 1;
    if (n < 1 || n > 3) return PyErr_Format(PyExc_ValueError, "%U: a grid has 1 to 3 sizes, not %zd", reinterpret_cast<Kernel*>(self)->name, n);
    for (Py_ssize_t i = 0; i < n; ++i) {
        sizes[i] = PyLong_AsLongLong(tuple ? PyTuple_GET_ITEM(grid, i) : grid);
        if (sizes[i] == -1 && PyErr_Occurred()) return nullptr;
        if (sizes[i] < 0 || sizes[i] > MOST[i])
            return PyErr_Format(PyExc_ValueError, "%U: dim %zd of the grid is %lld, which is not from 0 to %lld", reinterpret_cast<Kernel*>(self)->name,
                                i, (long long)(sizes[i]), (long long)(MOST[i]));
    }
    return make_launch(reinterpret_cast<Kernel*>(self), sizes, nullptr);
}

PyObject* kernel_repr(PyObject* self) { return PyUnicode_FromFormat("<Triton kernel %U>", reinterpret_cast<Kernel*>(self)->name); }

PyMappingMethods kernel_mapping{nullptr, kernel_subscript, nullptr};
PyMethodDef launch_methods[] = {{"bind", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(launch_bind)), METH_FASTCALL | METH_KEYWORDS,
                                 "A launch whose last arguments, numbers or None, and constants are in place: it is called with those before them"},
                                {nullptr, nullptr, 0, nullptr}};

void make_types() {
    Py_SET_REFCNT(reinterpret_cast<PyObject*>(&kernel_type), 1);
    kernel_type.tp_name = "tensorgrad.TritonKernel";
    kernel_type.tp_basicsize = sizeof(Kernel);
    kernel_type.tp_flags = Py_TPFLAGS_DEFAULT;
    kernel_type.tp_as_mapping = &kernel_mapping;
    kernel_type.tp_repr = kernel_repr;
    Py_SET_REFCNT(reinterpret_cast<PyObject*>(&launch_type), 1);
    launch_type.tp_name = "tensorgrad.TritonLaunch";
    launch_type.tp_basicsize = sizeof(Launch);
    launch_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL;
    launch_type.tp_vectorcall_offset = offsetof(Launch, vectorcall);
    launch_type.tp_call = PyVectorcall_Call;
    launch_type.tp_dealloc = launch_dealloc;
    launch_type.tp_methods = launch_methods;
    if (PyType_Ready(&kernel_type) < 0 || PyType_Ready(&launch_type) < 0) throw py::error_already_set();
}

// Kernels live as long as the process: modules make them once, at their top.
py::object make_kernel(const py::str& name, const py::object& compile) {
    auto* k = PyObject_New(Kernel, &kernel_type);
    if (!k) throw py::error_already_set();
    k->name = Py_NewRef(name.ptr());
    k->compile = Py_NewRef(compile.ptr());
    k->variants = new std::unordered_map<std::string, Variant>;
    return py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(k));
}

}  // namespace

}  // namespace tg::launcher

PYBIND11_MODULE(_launcher, m) {
    using namespace tg::launcher;
    m.doc() = "Launches Triton's kernels through the CUDA driver";
    make_types();
    make_descriptor_types();
    bfloat16_number = py::dtype::from_args(py::module_::import("ml_dtypes").attr("bfloat16")).num();
    m.def("kernel", make_kernel, py::arg("name"), py::arg("compile"),
          "A kernel: kernel[grid](*arguments, **constants). compile(chip, types, divisible by 16, ones, constants) gives the machine code");
    m.def("set_stream", [](uintptr_t stream) { current_stream = reinterpret_cast<tg::driver::Stream>(stream); }, py::arg("stream"),
          "The stream that kernels of this thread are launched on from here on: a CUstream as a number, 0 for the default stream");
    m.def("set_allocator", [](const py::object& f) { allocate = f.inc_ref().ptr(); }, py::arg("allocate"),
          "Where memory to work in comes from: a function of a number of bytes that gives something with a `ptr`");
    m.def("multiprocessors", [] { tg::driver::context(); return tg::driver::attribute(tg::driver::MULTIPROCESSORS); }, "Of the current device");
    m.def("layout", make_layout, py::arg("shape"), py::arg("strides"), py::arg("itemsize"), py::arg("block"),
          "How arrays lie in memory, and the block of them that a kernel moves at once: layout(array) is a descriptor, a CUtensorMap when it is launched");
}
