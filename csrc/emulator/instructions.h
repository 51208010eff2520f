// The emulated bodies of the wrappers in csrc/device.
#pragma once
#include "runtime.h"

namespace emu {

// ---- tensor cores (tensor_cores.cpp); registers as PTX lays them out
void ldmatrix(unsigned* registers, const void* row, int count, bool transposed, Site at);
void mma_bf16(float* d, const unsigned* a, const unsigned* b, Site at);  // m16n8k16
void mma_fp16(float* d, const unsigned* a, const unsigned* b, Site at);  // m16n8k16
void mma_tf32(float* d, const unsigned* a, const unsigned* b, Site at);  // m16n8k8

// ---- cp.async (async.cpp)
void cp_async(void* to, const void* from, unsigned bytes, unsigned filled, Site at);
void cp_async_commit();
void cp_async_wait(unsigned pending);

}  // namespace emu
