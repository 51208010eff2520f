// What is used of the CUDA driver, found in libcuda.so.1 when the first kernel is launched: nothing of CUDA is needed to build or to import.
#pragma once
#include <dlfcn.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace tg::driver {

using Result = int;  // CUresult; 0 is success
using Context = struct ContextHandle*;
using Module = struct ModuleHandle*;
using Function = struct FunctionHandle*;
using Stream = struct StreamHandle*;

constexpr int MAX_DYNAMIC_SHARED = 8;                // CUfunction_attribute
constexpr int MULTIPROCESSORS = 16, MAJOR = 75, MINOR = 76;  // CUdevice_attribute; the last two are the compute capability
constexpr unsigned SHARED_WITHOUT_ASKING = 48 * 1024;

struct Table {
    void* library;
    Result (*init)(unsigned);
    Result (*get_error_name)(Result, const char**);
    Result (*get_error_string)(Result, const char**);
    Result (*context_current)(Context*);
    Result (*context_set)(Context);
    Result (*context_device)(int*);
    Result (*primary_retain)(Context*, int);
    Result (*device_attribute)(int*, int, int);
    Result (*module_load)(Module*, const void*);
    Result (*module_function)(Function*, Module, const char*);
    Result (*function_set)(Function, int, int);
    Result (*launch)(Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Stream, void**, void**);
    Result (*tensor_map)(void*, int, uint32_t, void*, const uint64_t*, const uint64_t*, const uint32_t*, const uint32_t*, int, int, int, int);
};

template <class F> void find(void* library, const char* name, F& function) {
    function = reinterpret_cast<F>(dlsym(library, name));
    if (!function) throw std::runtime_error(std::string("NVIDIA's driver on this machine has no ") + name + ": it is too old; update it");
}

inline Table open() {
    Table t{};
    t.library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
    if (!t.library)
        throw std::runtime_error("libcuda.so.1, NVIDIA's driver, is not on this machine or not on the library path; "
                                 "without a GPU use the devices cpu and emu");
    find(t.library, "cuInit", t.init);
    find(t.library, "cuGetErrorName", t.get_error_name);
    find(t.library, "cuGetErrorString", t.get_error_string);
    find(t.library, "cuCtxGetCurrent", t.context_current);
    find(t.library, "cuCtxSetCurrent", t.context_set);
    find(t.library, "cuCtxGetDevice", t.context_device);
    find(t.library, "cuDevicePrimaryCtxRetain", t.primary_retain);
    find(t.library, "cuDeviceGetAttribute", t.device_attribute);
    find(t.library, "cuModuleLoadData", t.module_load);
    find(t.library, "cuModuleGetFunction", t.module_function);
    find(t.library, "cuFuncSetAttribute", t.function_set);
    find(t.library, "cuLaunchKernel", t.launch);
    t.tensor_map = reinterpret_cast<decltype(t.tensor_map)>(dlsym(t.library, "cuTensorMapEncodeTiled"));  // drivers before 12.0 lack it
    return t;
}

inline const Table& table() {
    static const Table t = open();  // tried again at the next call, if it throws
    return t;
}

// Throws what a call returned, by the call's name and the driver's words.
inline void check(Result result, const char* call, const std::string& where = "") {
    if (result == 0) return;
    const char *name = nullptr, *text = nullptr;
    table().get_error_name(result, &name);
    table().get_error_string(result, &text);
    throw std::runtime_error(std::string(call) + " failed with " + (name ? name : "error " + std::to_string(result)) + (text ? std::string(" (") + text + ")" : "") +
                             where);
}

// The context of this thread. A thread that has none gets the primary context of device 0, as from the CUDA runtime.
inline Context context() {
    const Table& d = table();
    Context now = nullptr;
    if (const Result result = d.context_current(&now); result != 0 && result != 3) check(result, "cuCtxGetCurrent");  // 3: not initialised
    if (now) return now;
    check(d.init(0), "cuInit");
    check(d.primary_retain(&now, 0), "cuDevicePrimaryCtxRetain");
    check(d.context_set(now), "cuCtxSetCurrent");
    return now;
}

// An attribute of the current context's device.
inline int attribute(int which) {
    int device = 0, value = 0;
    check(table().context_device(&device), "cuCtxGetDevice");
    check(table().device_attribute(&value, which, device), "cuDeviceGetAttribute");
    return value;
}

// Its compute capability, 90 for 9.0.
inline int chip() { return attribute(MAJOR) * 10 + attribute(MINOR); }

}  // namespace tg::driver
