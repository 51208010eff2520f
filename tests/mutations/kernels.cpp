// Calls the kernels of one (mutated) source file: any op's, with any arguments.
#include "../../csrc/emulator/memory.h"

struct Argument {  // kind: one of KINDS; strides in elements; a list's `data` is an array of `integer` arguments
    int kind, dtype, ndim;
    void* data;
    int64_t shape[4], strides[4], integer;
    double real;
};

constexpr tg::Value::Kind KINDS[] = {tg::Value::none, tg::Value::array, tg::Value::integer, tg::Value::real, tg::Value::list};

static tg::Array array_of(const Argument& a) {
    tg::Array array;
    array.data = a.data;
    array.dtype = tg::DType(a.dtype);
    array.ndim = a.ndim;
    std::copy(a.shape, a.shape + 4, array.shape);
    std::copy(a.strides, a.strides + 4, array.strides);
    return array;
}

// The error's message, or "".
extern "C" __attribute__((visibility("default"))) const char* call_kernel(const char* op, const char* path, const Argument* arguments, int count,
                                                                          unsigned seed, bool eager) {
    static std::string message;
    message = "no such kernel";
    emu::settings = {seed, eager, 1};
    for (const tg::Kernel& kernel : tg::registry()) {
        if (kernel.path != std::string(path) || kernel.op != std::string(op)) continue;
        std::vector<tg::Value> values(count);
        std::vector<std::vector<tg::Array>> lists(count);
        for (int i = 0; i < count; ++i) {
            const Argument& a = arguments[i];
            values[i].kind = KINDS[a.kind];
            values[i].i = a.integer;
            values[i].d = a.real;
            values[i].a = array_of(a);
            if (values[i].kind != tg::Value::list) continue;
            for (int64_t k = 0; k < a.integer; ++k) lists[i].push_back(array_of(static_cast<const Argument*>(a.data)[k]));
            values[i].list_of = {lists[i].data(), a.integer};
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
