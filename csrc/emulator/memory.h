// Global memory of a launch: each array a kernel is given lies between pages nobody may touch.
#pragma once
#include "../core/dtype_names.h"
#include "../core/registry.h"
#include "runtime.h"

namespace emu {

// Calls a registered kernel on guarded copies of its arrays and copies back what it writes.
void call_guarded(const tg::Kernel& kernel, tg::Value* values);

struct GuardedArray {
    const char *begin, *end;
    bool written;  // by the kernel's signature
};
std::vector<GuardedArray> guarded_arrays();      // that exist now
std::string place_of(uintptr_t address);         // "argument 1, float32 (3, 5) + 8 bytes"

// " of float32 argument 1, 8 bytes past its end", for an address near a guarded array; " at 0x..." elsewhere.
std::string describe_address(uintptr_t address);

// A guarded allocation for tests and tools; filled with NaN.
void* allocate(size_t bytes, const char* name);
void release(void* p);

extern thread_local constinit Site touching;

}  // namespace emu
