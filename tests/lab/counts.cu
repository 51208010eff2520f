// Kernels whose traffic is known by a formula.
#include "pairs.h"

#include "../../csrc/device/ldmatrix.cuh"

__global__ void copy(float* out, int stride, int shift) { out[2048 + threadIdx.x] = out[threadIdx.x * stride + shift]; }
CASE(copy_coalesced) { launch(copy, 1, 128, 0, nullptr, out, 1, 0); }
CASE(copy_stride_2) { launch(copy, 1, 128, 0, nullptr, out, 2, 0); }
CASE(copy_stride_8) { launch(copy, 1, 128, 0, nullptr, out, 8, 0); }
CASE(copy_shifted) { launch(copy, 1, 128, 0, nullptr, out, 1, 1); }
CASE(copy_broadcast) { launch(copy, 1, 128, 0, nullptr, out, 0, 0); }

__global__ void copy_quads(float* out) {
    reinterpret_cast<float4*>(out + 2048)[threadIdx.x] = reinterpret_cast<float4*>(out)[threadIdx.x];
}
CASE(copy_float4) { launch(copy_quads, 1, 128, 0, nullptr, out); }

__global__ void copy_odd(float* out) {
    if (threadIdx.x % 2) out[2048 + threadIdx.x] = out[threadIdx.x];
}
CASE(copy_odd_lanes) { launch(copy_odd, 1, 128, 0, nullptr, out); }

template <int PAD> __global__ void transpose(float* out) {
    __shared__ float tile[32][32 + PAD];
    const int x = int(threadIdx.x), y = int(threadIdx.y);
    tile[y][x] = out[y * 32 + x];
    __syncthreads();
    out[2048 + y * 32 + x] = tile[x][y];
}
CASE(transpose_plain) { launch(transpose<0>, 1, dim3(32, 32), 0, nullptr, out); }
CASE(transpose_padded) { launch(transpose<1>, 1, dim3(32, 32), 0, nullptr, out); }


template <class T> __global__ void shared_wide(float* out, int stride) {
    __shared__ __align__(16) T tile[64];
    tile[threadIdx.x] = T{};
    tile[threadIdx.x + 32] = T{};
    __syncwarp();
    const T v = tile[threadIdx.x * stride % 64];
    reinterpret_cast<T*>(out)[threadIdx.x] = v;
}
CASE(shared_words) { launch(shared_wide<float>, 1, 32, 0, nullptr, out, 1); }
CASE(shared_words_stride_2) { launch(shared_wide<float>, 1, 32, 0, nullptr, out, 2); }
CASE(shared_words_broadcast) { launch(shared_wide<float>, 1, 32, 0, nullptr, out, 0); }
CASE(shared_doubles) { launch(shared_wide<double>, 1, 32, 0, nullptr, out, 1); }
CASE(shared_doubles_stride_2) { launch(shared_wide<double>, 1, 32, 0, nullptr, out, 2); }
CASE(shared_quads) { launch(shared_wide<float4>, 1, 32, 0, nullptr, out, 1); }
CASE(shared_halves) { launch(shared_wide<__half>, 1, 32, 0, nullptr, out, 1); }

template <int WIDTH> __global__ void matrices(float* out) {
    __shared__ __align__(16) unsigned short rows[16][WIDTH];
    for (int i = 0; i < 16; ++i)
        for (unsigned j = threadIdx.x; j < WIDTH; j += 32) rows[i][j] = 1;
    __syncwarp();
    unsigned r[4];
    tg::device::ldmatrix_x4(r, &rows[threadIdx.x % 16][threadIdx.x / 16 * 8]);
    out[threadIdx.x] = float(r[0] + r[1] + r[2] + r[3]);
}
CASE(matrices_packed) { launch(matrices<64>, 1, 32, 0, nullptr, out); }
CASE(matrices_padded) { launch(matrices<24>, 1, 32, 0, nullptr, out); }

__global__ void histogram(float* out) {
    __shared__ int counts[8];
    if (threadIdx.x < 8) counts[threadIdx.x] = 0;
    __syncthreads();
    atomicAdd(&counts[threadIdx.x % 8], 1);
    atomicAdd(out, 1.0f);
    __syncthreads();
    if (threadIdx.x < 8) out[1 + threadIdx.x] = float(counts[threadIdx.x]);
}
CASE(histogram) {
    out[0] = 0;
    launch(histogram, 2, 64, 0, nullptr, out);
}

__global__ void everything(float* out) {
    __shared__ float values[64];
    const int t = int(threadIdx.x);
    float v = __shfl_xor_sync(~0u, float(t), 1);
    if (__any_sync(~0u, v > 100)) v = 0;
    values[t] = v;
    __syncwarp();
    v += values[t ^ 1];
    __threadfence();
    __syncthreads();
    if (t < 8) v += values[t + 40];
    out[t] = v;
}
CASE(everything) { launch(everything, 3, 64, 0, nullptr, out); }
