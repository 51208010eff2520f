// Each way a kernel can go wrong. The line a message must name carries the mark `// -> name`.
#include "../../csrc/device/cp_async.cuh"
#include "../../csrc/device/ldmatrix.cuh"
#include "cases.h"

using namespace tg::device;

__global__ void deadlock_kernel(float* out) {
    if (threadIdx.x < 8) __shfl_sync(0xffffffffu, 1.0f, 0);  // half of a warp waits for the other, which waits for the block
    else __syncthreads();  // -> deadlock
    out[threadIdx.x] = 1;
}
CASE(deadlock) { launch(deadlock_kernel, 1, 64, 0, nullptr, out); }

__global__ void diverging_kernel(float* out) {
    if (threadIdx.x < 32) {
        __syncthreads();
        out[0] = 1;
    } else {
        __syncthreads();  // -> divergence
        out[1] = 1;
    }
}
CASE(divergence) { launch(diverging_kernel, 1, 64, 0, nullptr, out); }

__global__ void warp_diverging_kernel(float* out) {
    if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xffffffffu, 1.0f, 0);
    else out[threadIdx.x] = float(__ballot_sync(0xffffffffu, 1));  // -> warp_divergence
}
CASE(warp_divergence) { launch(warp_diverging_kernel, 1, 32, 0, nullptr, out); }

__global__ void outside_mask_kernel(float* out) {
    out[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, 1.0f, 1);  // -> outside_mask
}
CASE(outside_mask) { launch(outside_mask_kernel, 1, 32, 0, nullptr, out); }

__global__ void past_end_kernel(float* out, int n) {
    const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
    if (i <= n) {
        out[i] = 1;  // -> past_end
    }
}
CASE(past_end) { launch(past_end_kernel, 8, 64, 0, nullptr, out, n); }

__global__ void before_start_kernel(float* out) {
    const float left = out[int(threadIdx.x) - 4096];  // -> before_start
    out[threadIdx.x] = left;
}
CASE(before_start) { launch(before_start_kernel, 1, 64, 0, nullptr, out); }

__global__ void null_kernel(float* out) {
    out[threadIdx.x + 5] = 1;  // -> null_pointer
}
CASE(null_pointer) { launch(null_kernel, 1, 64, 0, nullptr, static_cast<float*>(nullptr)); }

__global__ void misaligned_kernel(float* out) {
    *reinterpret_cast<float4*>(out + 1) = make_float4(1, 2, 3, 4);
}
CASE(misaligned) { launch(misaligned_kernel, 1, 1, 0, nullptr, out); }

__device__ __noinline__ float deep(float* out, int depth) {
    volatile float frame[256];
    frame[depth % 256] = float(depth);
    return depth ? deep(out, depth - 1) + frame[depth % 256] : out[0];
}
__global__ void stack_kernel(float* out) { out[0] = deep(out, 100); }
CASE(stack_overflow) { launch(stack_kernel, 1, 1, 0, nullptr, out); }

__global__ void division_kernel(float* out, int divisor) {
    out[threadIdx.x] = float(int(threadIdx.x) / divisor);  // -> division
}
CASE(division) { launch(division_kernel, 1, 32, 0, nullptr, out, 0); }

__global__ void plain_kernel(float* out) { out[threadIdx.x] = float(threadIdx.x); }
CASE(no_blocks) { launch(plain_kernel, dim3(1, 0), 32, 0, nullptr, out); }
CASE(no_threads) { launch(plain_kernel, 1, dim3(0), 0, nullptr, out); }
CASE(many_threads) { launch(plain_kernel, 1, dim3(32, 33), 0, nullptr, out); }
CASE(deep_block) { launch(plain_kernel, 1, dim3(1, 1, 65), 0, nullptr, out); }
CASE(wide_grid) { launch(plain_kernel, dim3(1, 65536), 32, 0, nullptr, out); }
CASE(much_shared) { launch(plain_kernel, 1, 32, 227 * 1024 + 1, nullptr, out); }
CASE(wide_block) { launch(plain_kernel, 1, dim3(65536, 65536, 1), 0, nullptr, out); }
CASE(long_grid) { launch(plain_kernel, dim3(0x80000000u), 32, 0, nullptr, out); }
CASE(deep_grid) { launch(plain_kernel, dim3(1, 1, 65536), 32, 0, nullptr, out); }
CASE(some_shared) { launch(plain_kernel, 1, 32, 100 * 1024, nullptr, out); }
__global__ void static_kernel(float* out) {
    __shared__ float values[256];
    values[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = values[threadIdx.x ^ 1];
}
CASE(static_and_dynamic) { launch(static_kernel, 1, 64, 227 * 1024 - 1023, nullptr, out); }
CASE(static_and_dynamic_fit) { launch(static_kernel, 1, 64, 227 * 1024 - 1024, nullptr, out); }
CASE(good) { launch(plain_kernel, 1, 64, 227 * 1024, nullptr, out); }

__global__ void past_dynamic_kernel(float* out) {
    DYNAMIC_SHARED(float, values);
    values[threadIdx.x + 256] = 1;  // -> past_dynamic
    out[threadIdx.x] = values[threadIdx.x];
}
CASE(past_dynamic) { launch(past_dynamic_kernel, 1, 32, 1024, nullptr, out); }

__global__ void unaligned_ldmatrix_kernel(float* out) {
    __shared__ __align__(16) uint16_t rows[32][9];
    unsigned r[4];
    ldmatrix_x4(r, rows[threadIdx.x]);  // -> unaligned_ldmatrix
    out[threadIdx.x] = float(r[0]);
}
CASE(unaligned_ldmatrix) { launch(unaligned_ldmatrix_kernel, 1, 32, 0, nullptr, out); }

__global__ void global_ldmatrix_kernel(float* out) {
    unsigned r[4];
    ldmatrix_x4(r, out + threadIdx.x / 4 * 4);  // -> global_ldmatrix
    out[threadIdx.x] = float(r[0]);
}
CASE(global_ldmatrix) { launch(global_ldmatrix_kernel, 1, 32, 0, nullptr, out); }

__global__ void copy_past_end_kernel(float* out, int n) {
    __shared__ __align__(16) float tile[32][4];
    cp_async_16(tile[threadIdx.x], out + n - 64 + threadIdx.x * 4, 16);  // -> copy_past_end
    cp_async_commit();
    cp_async_wait<0>();
}
CASE(copy_past_end) { launch(copy_past_end_kernel, 1, 32, 0, nullptr, out, n); }

// ---- wrong, but not an error of the machine: what the poison shows
__global__ void unwritten_kernel(float* out) {
    __shared__ float half[64];
    if (threadIdx.x < 32) half[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = half[threadIdx.x];
}
CASE(unwritten) { launch(unwritten_kernel, 3, 64, 0, nullptr, out); }

__global__ void unwritten_dynamic_kernel(float* out) {
    DYNAMIC_SHARED(float, half);
    if (threadIdx.x < 32) half[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = half[threadIdx.x];
}
CASE(unwritten_dynamic) { launch(unwritten_dynamic_kernel, 3, 64, 256, nullptr, out); }

__global__ void weak_wait_kernel(float* out) {
    __shared__ __align__(16) float tile[2][32][4];
    for (int i = 0; i < 2; ++i) {
        cp_async_16(tile[i][threadIdx.x], out + i * 128 + threadIdx.x * 4, 16);
        cp_async_commit();
    }
    cp_async_wait<1>();  // the second copy is still under way
    out[threadIdx.x] = tile[0][threadIdx.x][0] + tile[1][threadIdx.x][0];
}
CASE(weak_wait) { launch(weak_wait_kernel, 1, 32, 0, nullptr, out); }
