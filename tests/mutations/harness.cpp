// Calls the kernels of one (mutated) source file: the C interface tests/test_mutations.py loads.
#include <algorithm>

#include "../../csrc/emulator/lab/recorder.h"

// c (m, n) = a (m, k) b (k, n), strides in elements. The error's message, or "".
extern "C" __attribute__((visibility("default"))) const char* multiply(const char* path, int dtype, int64_t m, int64_t n, int64_t k,
                                                                       void* c, void* a, const int64_t* a_strides, void* b,
                                                                       const int64_t* b_strides, unsigned seed, bool eager,
                                                                       bool record) {
    static std::string message;
    message = "no such kernel";
    if (record) emu::lab::start(false, true);
    emu::settings = {seed, eager, 1};
    for (const tg::Kernel& kernel : tg::registry()) {
        if (kernel.path != std::string(path) || kernel.op != std::string("matmul")) continue;
        tg::Value values[3];
        const auto fill = [&](int i, void* data, int64_t rows, int64_t columns, int64_t down, int64_t right) {
            values[i].kind = tg::Value::array;
            values[i].a = {data, tg::DType(dtype), 2, {rows, columns}, {down, right}};
        };
        fill(0, c, m, n, n, 1);
        fill(1, a, m, k, a_strides[0], a_strides[1]);
        fill(2, b, k, n, b_strides[0], b_strides[1]);
        try {
            emu::call_guarded(kernel, values);
            message.clear();
        } catch (const std::exception& e) {
            message = e.what();
        }
    }
    return message.c_str();
}

// Ends the recording that `multiply` or `call` began: JSON.
extern "C" __attribute__((visibility("default"))) const char* races() {
    static std::string text;
    text = emu::lab::stop();
    return text.c_str();
}

// An argument of any kernel: an array of at most four dimensions, None, an integer or a real number.
struct Argument {
    int kind, dtype, ndim;
    void* data;
    int64_t shape[4], strides[4], integer;
    double real;
};

// Calls a kernel. The error's message, or "".
extern "C" __attribute__((visibility("default"))) const char* call(const char* op, const char* path, const Argument* arguments, unsigned seed,
                                                                   bool eager, bool record) {
    static std::string message;
    message = "no such kernel";
    if (record) emu::lab::start(false, true);
    emu::settings = {seed, eager, 1};
    for (const tg::Kernel& kernel : tg::registry()) {
        if (kernel.path != std::string(path) || kernel.op != std::string(op)) continue;
        std::vector<tg::Value> values(size_t(kernel.arity));
        for (int i = 0; i < kernel.arity; ++i) {
            const Argument& from = arguments[i];
            tg::Value& v = values[size_t(i)];
            constexpr tg::Value::Kind KINDS[] = {tg::Value::none, tg::Value::array, tg::Value::integer, tg::Value::real};
            v.kind = KINDS[from.kind];
            v.i = from.integer, v.d = from.real;
            v.a.data = from.data, v.a.dtype = tg::DType(from.dtype), v.a.ndim = from.ndim;
            std::copy(from.shape, from.shape + 4, v.a.shape);
            std::copy(from.strides, from.strides + 4, v.a.strides);
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
