// The one include of every .cu file: CUDA under nvcc, the emulator under any other C++ compiler.
//
// Both sides offer CUDA's own names, and three of ours:
//   launch(kernel, grid, block, shared, stream, args...)   in place of <<<>>>; throws what the launch was refused for
//   DYNAMIC_SHARED(type, name)                             the launch's dynamic shared memory, aligned to 1024 bytes
//   current_stream                                         the stream kernels are launched on, set by Python
#pragma once

#ifdef __CUDACC__

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace tg {

inline thread_local cudaStream_t current_stream = nullptr;

inline void check(cudaError_t error, const char* what) {
    if (error != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, cudaStream_t stream, A&&... args) {
    if (shared > 48 * 1024) {
        const auto limit = cudaFuncAttributeMaxDynamicSharedMemorySize;
        check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), limit, int(shared)), "shared memory");
    }
    kernel<<<grid, block, shared, stream>>>(std::forward<A>(args)...);
    check(cudaGetLastError(), "launch");
}

}  // namespace tg

#define DYNAMIC_SHARED(type, name)                                     \
    extern __shared__ __align__(1024) unsigned char dynamic_shared_[]; \
    type* name = reinterpret_cast<type*>(dynamic_shared_)

#else
#define TG_EMULATED 1
#include "emulator/cuda.h"
#endif
