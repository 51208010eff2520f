// The CUDA stream that kernels of this thread are launched on, set by Python. (CUstream_st* is what CUDA calls cudaStream_t.)
#pragma once

struct CUstream_st;

namespace tg {

inline thread_local CUstream_st* current_stream = nullptr;

}  // namespace tg
