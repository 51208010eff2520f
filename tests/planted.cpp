// Calls the kernels of one (mutated) source file: the C interface tests/planted.py loads.
#include <algorithm>

#include "../csrc/emulator/lab/recorder.h"

// An argument of any kernel: None, an array of at most four dimensions, an integer, a real number, or a list of arrays.
struct Argument {
    int kind, dtype, ndim;  // kind: one of KINDS; strides in elements
    void* data;             // of a list, `integer` arguments
    int64_t shape[4], strides[4], integer;
    double real;
};

constexpr tg::Value::Kind KINDS[] = {tg::Value::none, tg::Value::array, tg::Value::integer, tg::Value::real, tg::Value::list};

static tg::Array array_of(const Argument& from) {
    tg::Array a;
    a.data = from.data, a.dtype = tg::DType(from.dtype), a.ndim = from.ndim;
    std::copy(from.shape, from.shape + 4, a.shape);
    std::copy(from.strides, from.strides + 4, a.strides);
    return a;
}

// Calls a kernel with as many of the arguments as it takes, and records it for `races` if asked. The error's message, or "".
extern "C" __attribute__((visibility("default"))) const char* call(const char* op, const char* path, const Argument* arguments, unsigned seed,
                                                                   bool eager, bool record) {
    static std::string message;
    message = "no such kernel";
    if (record) emu::lab::start(false, true);
    emu::settings = {seed, eager, 1};
    for (const tg::Kernel& kernel : tg::registry()) {
        if (kernel.path != std::string(path) || kernel.op != std::string(op)) continue;
        std::vector<tg::Value> values(size_t(kernel.arity));
        std::vector<std::vector<tg::Array>> lists(size_t(kernel.arity));
        for (size_t i = 0; i < values.size(); ++i) {
            const Argument& from = arguments[i];
            values[i].kind = KINDS[from.kind];
            values[i].i = from.integer;
            values[i].d = from.real;
            values[i].a = array_of(from);
            if (values[i].kind != tg::Value::list) continue;
            for (int64_t k = 0; k < from.integer; ++k) lists[i].push_back(array_of(static_cast<const Argument*>(from.data)[k]));
            values[i].list_of = {lists[i].data(), from.integer};
        }
        try {
            emu::call_guarded(kernel, values.data());
            message.clear();
        } catch (const std::exception& e) {
            message = e.what();
        }
    }
    return message.c_str();
}

// Ends the recording that `call` began: JSON.
extern "C" __attribute__((visibility("default"))) const char* races() {
    static std::string text;
    text = emu::lab::stop();
    return text.c_str();
}
