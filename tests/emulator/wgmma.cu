// wgmma by itself: an operand's place in memory, its rounding, the sums' place in registers.
#include "../../csrc/device/mma.cuh"
#include "../../csrc/device/tma.cuh"
#include "../../csrc/device/wgmma.cuh"
#include "cases.h"

using namespace tg::device;

__device__ float& swizzled(float* tile, int i, int k) { return tile[i * 32 + ((k / 4 ^ i % 8) * 4 + k % 4)]; }

// out (64, 128) = A (64, 32) B (128, 32)ᵀ, which come one after the other at `in`, by hand as they are or by TMA.
__global__ void tf32_kernel(float* out, const float* in, const __grid_constant__ CUtensorMap map, bool by_hand) {
    DYNAMIC_SHARED(float, tile);
    __shared__ uint64_t full;
    const int thread = threadIdx.x;
    if (thread == 0) {
        mbarrier_init(&full, 1);
        fence_mbarrier_init();
    }
    __syncthreads();
    if (by_hand) {
        for (int at = thread; at < 192 * 32; at += 128) swizzled(tile, at / 32, at % 32) = in[at];
        fence_async_proxy();
        __syncthreads();
    } else {
        if (thread == 0) {
            mbarrier_arrive_expect(&full, 192 * 128);
            tma_load_2d(tile, map, 0, 0, &full);
        }
        mbarrier_wait(&full, 0);
    }
    float sum[64] = {};
    const uint64_t a = wgmma_descriptor(tile, 0), b = wgmma_descriptor(tile + 64 * 32, 0);
    wgmma_fence();
    for (int k = 0; k < 4; ++k) wgmma_m64n128k8_tf32(sum, a + k * 2, b + k * 2);
    wgmma_commit();
    wgmma_wait<0>();
    const int row = thread / 32 * 16 + thread % 32 / 4, column = thread % 4 * 2;
    for (int j = 0; j < 64; ++j) out[(row + j % 4 / 2 * 8) * 128 + column + j / 4 * 8 + j % 2] = sum[j];
}
void tf32(float* out, bool by_hand) {
    const float* const in = out + 64 * 128;
    launch(tf32_kernel, 1, 128, 192 * 128, nullptr, out, in, tensor_map(in, 192, 32, 32, 192), by_hand);
}
CASE(wgmma_tf32_by_hand) { tf32(out, true); }
CASE(wgmma_tf32_by_tma) { tf32(out, false); }

__global__ void round_kernel(float* out) { out[threadIdx.x] = to_tf32_even(out[threadIdx.x]); }
CASE(round_to_tf32) { launch(round_kernel, 1, n, 0, nullptr, out); }

__global__ void store_rounding_kernel(const __grid_constant__ CUtensorMap map) {
    DYNAMIC_SHARED(float, tile);
    tma_store_2d(map, tile, 0, 0);  // -> store_by_a_rounding_map
}
CASE(store_by_a_rounding_map) { launch(store_rounding_kernel, 1, 1, 1024, nullptr, tensor_map(out, 8, 32, 32, 8)); }
