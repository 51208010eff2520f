// What the emulator offers to kernels, each in a few lines whose result the test computes again in Python.
#include "cases.h"

__global__ void shuffles_kernel(float* out, int width) {
    const int t = int(threadIdx.x);
    const float v = float(t);
    out[t] = __shfl_sync(~0u, v, 3, width);
    out[64 + t] = __shfl_up_sync(~0u, v, 2, width);
    out[128 + t] = __shfl_down_sync(~0u, v, 2, width);
    out[192 + t] = __shfl_xor_sync(~0u, v, 5, width);
}
CASE(shuffles_32) { launch(shuffles_kernel, 1, 64, 0, nullptr, out, 32); }
CASE(shuffles_8) { launch(shuffles_kernel, 1, 64, 0, nullptr, out, 8); }
CASE(shuffles_partial) { launch(shuffles_kernel, 1, 40, 0, nullptr, out, 32); }

__global__ void halves_kernel(float* out) {  // two halves of a warp on their own, with different trip counts
    const int t = int(threadIdx.x);
    float v = float(t);
    if (t % 32 < 16)
        for (int d = 8; d; d /= 2) v += __shfl_xor_sync(0x0000ffffu, v, d, 16);
    else v = __shfl_down_sync(0xffff0000u, v, 1, 16);
    __syncwarp();
    out[t] = v;
}
CASE(halves) { launch(halves_kernel, 1, 64, 0, nullptr, out); }

__global__ void votes_kernel(float* out) {
    const int t = int(threadIdx.x);
    out[t] = float(__popc(__ballot_sync(~0u, t % 3 == 0)));
    out[64 + t] = float(__any_sync(~0u, t == 40));
    out[128 + t] = float(__all_sync(~0u, t < 32));
}
CASE(votes) { launch(votes_kernel, 1, 64, 0, nullptr, out); }

__global__ void counts_kernel(float* out) {
    const int t = int(threadIdx.x);
    const int count = __syncthreads_count(t % 5 == 0);
    out[t] = float(count);
    out[64 + t] = float(__syncthreads_or(t == 63));
    out[128 + t] = float(__syncthreads_and(t != 63));
}
CASE(counts) { launch(counts_kernel, 1, 64, 0, nullptr, out); }

__global__ void atomics_kernel(float* out, int* ints, double* sum) {
    const int t = int(blockIdx.x * blockDim.x + threadIdx.x);
    atomicAdd(out, 1.0f);
    atomicAdd(sum, 0.5);
    atomicAdd(&ints[0], t);
    atomicMax(&ints[1], t);
    atomicMin(&ints[2], -t);
    if (atomicCAS(&ints[3], 0, t + 1) == 0) atomicExch(&ints[4], 7);
}
CASE(atomics) {
    static int ints[5];
    static double sum;
    for (int& i : ints) i = 0;
    sum = out[0] = 0;
    launch(atomics_kernel, 50, 96, 0, nullptr, out, ints, &sum);
    for (int i = 0; i < 3; ++i) out[1 + i] = float(ints[i]);
    out[4] = float(ints[3] != 0), out[5] = float(ints[4]), out[6] = float(sum);
}

__global__ void early_return_kernel(float* out) {  // a thread that has returned is not waited for
    __shared__ int count;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    if (threadIdx.x >= 40) return;
    atomicAdd(&count, 1);
    __syncthreads();
    out[threadIdx.x] = float(count);
}
CASE(early_return) { launch(early_return_kernel, 1, 96, 0, nullptr, out); }

__global__ void reverse_kernel(float* out, int n) {  // blocks, static and dynamic shared memory, vectors
    DYNAMIC_SHARED(float4, tile);
    __shared__ float4 last[64];
    auto* quads = reinterpret_cast<float4*>(out) + blockIdx.x * 64;
    tile[threadIdx.x] = quads[threadIdx.x];
    __syncthreads();
    last[threadIdx.x] = tile[63 - threadIdx.x];
    __syncthreads();
    float4 v = last[threadIdx.x];
    v.x += float(n);
    quads[threadIdx.x] = v;
}
CASE(reverse) { launch(reverse_kernel, n / 256, 64, 64 * sizeof(float4), nullptr, out, n); }

__global__ void indices_kernel(float* out) {
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] += float(block * 1000 + thread);
}
CASE(indices) { launch(indices_kernel, dim3(2, 3, 2), dim3(5, 3, 2), 0, nullptr, out); }

__global__ void order_kernel(float* out) {  // the order in which threads start
    __shared__ int next;
    if (threadIdx.x == 0) next = 0;
    __syncthreads();
    out[threadIdx.x] = float(atomicAdd(&next, 1));
}
__global__ void start_kernel(float* out, int* next) { out[threadIdx.x] = float((*next)++); }
CASE(start_order) {
    static int next;
    next = 0;
    launch(start_kernel, 1, 64, 0, nullptr, out, &next);
}
CASE(barrier_order) { launch(order_kernel, 1, 64, 0, nullptr, out); }

__global__ void rounding_kernel(float* out, int n) {  // fp32 to 16 bits and back
    const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n / 3) return;
    const float x = out[i];
    out[n / 3 + i] = float(__half(x));
    out[2 * (n / 3) + i] = float(__nv_bfloat16(x));
}
CASE(rounding) { launch(rounding_kernel, (n / 3 + 255) / 256, 256, 0, nullptr, out, n); }
