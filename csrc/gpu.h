// The one include of every .cu file: CUDA under nvcc, the emulator under any other C++ compiler.
//
// Both sides offer CUDA's own names, and five of ours:
//   launch(kernel, grid, block, shared, stream, args...)   in place of <<<>>>; throws what the launch was refused for
//   launch_clusters(kernel, grid, cluster, block, ...)     the same in clusters of `cluster` blocks; a grid is whole clusters
//   multiprocessors()                                      of the device kernels run on
//   DYNAMIC_SHARED(type, name)                             the launch's dynamic shared memory, aligned to 1024 bytes
//   current_stream                                         the stream kernels are launched on (core/stream.h)
// The wrappers in csrc/device take AT_CALLER as their last parameter: nothing for CUDA, for the emulator the line that called.
#pragma once

#ifdef __CUDACC__

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "core/stream.h"

namespace tg {

inline void check(cudaError_t error, const char* what) {
    if (error != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

inline int multiprocessors() {
    int device = 0, count = 0;
    check(cudaGetDevice(&device), "device");
    check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "device");
    return count;
}

inline void allow_shared(const void* kernel, size_t bytes) {
    if (bytes > 48 * 1024) check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)), "shared memory");
}

template <class... P, class... A>
void launch_clusters(void (*kernel)(P...), dim3 grid, dim3 cluster, dim3 block, size_t shared, cudaStream_t stream, A&&... args) {
    allow_shared(reinterpret_cast<const void*>(kernel), shared);
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {cluster.x, cluster.y, cluster.z};
    const cudaLaunchConfig_t config{grid, block, shared, stream, &attribute, 1};
    check(cudaLaunchKernelEx(&config, kernel, std::forward<A>(args)...), "launch in clusters");
}

template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, cudaStream_t stream, A&&... args) {
    allow_shared(reinterpret_cast<const void*>(kernel), shared);
    kernel<<<grid, block, shared, stream>>>(std::forward<A>(args)...);
    check(cudaGetLastError(), "launch");
}

}  // namespace tg

#define DYNAMIC_SHARED(type, name)                                     \
    extern __shared__ __align__(1024) unsigned char dynamic_shared_[]; \
    type* name = reinterpret_cast<type*>(dynamic_shared_)
#define AT_CALLER
#define AT_CALLER_ONLY
#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define TG_NO_HOPPER 1  // this pass compiles for a chip without wgmma
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define TG_NO_AMPERE 1  // a chip without cp.async, bf16 and tf32
#endif

#else
#define TG_EMULATED 1
#include "emulator/cuda.h"
#include "emulator/instructions.h"
#define AT_CALLER , EMU_HERE
#define AT_CALLER_ONLY EMU_HERE
#endif
