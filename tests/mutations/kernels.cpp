// Calls the kernels of one (mutated) source file: any op's, with any arguments.
#include "../../csrc/emulator/memory.h"

struct Argument {  // kind as in tg::Value; strides in elements
    int kind, dtype, ndim;
    void* data;
    int64_t shape[4], strides[4], integer;
    double real;
};

// The error's message, or "".
extern "C" __attribute__((visibility("default"))) const char* call_kernel(const char* op, const char* path, const Argument* arguments, int count,
                                                                          unsigned seed, bool eager) {
    static std::string message;
    message = "no such kernel";
    emu::settings = {seed, eager, 1};
    for (const tg::Kernel& kernel : tg::registry()) {
        if (kernel.path != std::string(path) || kernel.op != std::string(op)) continue;
        std::vector<tg::Value> values(count);
        for (int i = 0; i < count; ++i) {
            const Argument& a = arguments[i];
            values[i].kind = tg::Value::Kind(a.kind);
            values[i].i = a.integer;
            values[i].d = a.real;
            tg::Array& array = values[i].a;
            array.data = a.data;
            array.dtype = tg::DType(a.dtype);
            array.ndim = a.ndim;
            std::copy(a.shape, a.shape + 4, array.shape);
            std::copy(a.strides, a.strides + 4, array.strides);
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
