// Calls the gemm kernels of one (mutated) source file: the C interface tests/test_mutations_gemm.py loads.
#include "../../csrc/emulator/memory.h"

namespace {

tg::Value matrix(int dtype, void* data, int64_t rows, int64_t columns, int64_t down, int64_t right) {
    tg::Value v;
    v.kind = tg::Value::array;
    v.a = {data, tg::DType(dtype), 2, {rows, columns}, {down, right}};
    return v;
}

tg::Value number(double d) {
    tg::Value v;
    v.kind = tg::Value::real;
    v.d = d;
    return v;
}

// The error's message, or "".
const char* call(const char* path, tg::Value* values, unsigned seed, bool eager) {
    static std::string message;
    message = "no such kernel";
    emu::settings = {seed, eager, 1};
    for (const tg::Kernel& kernel : tg::registry()) {
        if (kernel.path != std::string(path) || kernel.op != std::string("gemm")) continue;
        try {
            emu::call_guarded(kernel, values);
            message.clear();
        } catch (const std::exception& e) {
            message = e.what();
        }
    }
    return message.c_str();
}

}  // namespace

// c = activation(0.5 a b - 2 c0 + bias) with c0 (m, 1) and bias (1, n); memory for three parts of k where the kernel works in some.
extern "C" __attribute__((visibility("default"))) const char* gemm(const char* path, int dtype, int64_t m, int64_t n, int64_t k, void* c,
                                                                   void* a, const int64_t* a_strides, void* b, const int64_t* b_strides,
                                                                   void* c0, void* bias, int activation, void* workspace, unsigned seed,
                                                                   bool eager) {
    tg::Value chosen;
    chosen.kind = tg::Value::integer;
    chosen.i = activation;
    tg::Value values[] = {matrix(dtype, c, m, n, n, 1), matrix(dtype, a, m, k, a_strides[0], a_strides[1]),
                          matrix(dtype, b, k, n, b_strides[0], b_strides[1]), matrix(dtype, c0, m, 1, 1, 1), matrix(dtype, bias, 1, n, n, 1),
                          number(0.5), number(-2), chosen, matrix(1, workspace, 3, m * n, m * n, 1)};
    return call(path, values, seed, eager);
}
