// wgmma by itself: an operand's place in memory, its rounding, the sums' place in registers.
#include "../../csrc/device/barrier.cuh"
#include "../../csrc/device/mma.cuh"
#include "../../csrc/device/tma.cuh"
#include "../../csrc/device/wgmma_registers.cuh"
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

// out (64, 64) = A B, A (64, 16) from registers, B (16, 64) the first rows of matrix 1 of group 2 of a stack, of which 12 exist: four rows
// of zeros, whatever the next matrix holds. What the sums held before counts only where ADD is 1, in a product with the stack as both
// operands that comes before. A warp of its own fetches; the warpgroup meets it at a barrier where it does not wait.
__global__ void registers_kernel(float* out, const float* a_values, const __grid_constant__ CUtensorMap map) {
    DYNAMIC_SHARED(__nv_bfloat16, tile);
    __shared__ uint64_t full;
    const int thread = threadIdx.x;
    if (thread >= 128) {
        if (thread == 128) {
            mbarrier_init(&full, 1);
            mbarrier_arrive_expect(&full, 64 * 128);
            tma_load_4d(tile, map, 0, 0, 1, 2, &full);
        }
        return named_barrier_arrive(1, 160);
    }
    named_barrier_sync(1, 160);
    mbarrier_wait(&full, 0);
    const int row = thread / 32 * 16 + thread % 32 / 4, column = thread % 4 * 2;
    unsigned a[4];
    for (int r = 0; r < 4; ++r) {
        const float* from = a_values + (row + r % 2 * 8) * 16 + column + r / 2 * 8;
        const __nv_bfloat162 pair = __floats2bfloat162_rn(from[0], from[1]);
        memcpy(&a[r], &pair, sizeof pair);
    }
    float sum[32];
    for (float& s : sum) s = 1e9f;
    const uint64_t b = wgmma_descriptor(tile, 64 * 128);
    wgmma_fence();
    wgmma_m64n64k16_bf16<0, 1, 0>(sum, wgmma_descriptor(tile, 0) + 6, b);  // columns 48 to 63 of the tile as k: zeros, all of them
    wgmma_registers_m64n64k16_bf16<1>(sum, a, b);
    wgmma_commit();
    wgmma_wait<0>();
    for (int j = 0; j < 32; ++j) out[(row + j % 4 / 2 * 8) * 64 + column + j / 4 * 8 + j % 2] = sum[j];
}
CASE(wgmma_registers) {
    float* const a = out + 64 * 64;
    auto* const stack = reinterpret_cast<__nv_bfloat16*>(a + 64 * 16);  // (3, 2, 12, 48)
    const Stack of{2, 12 * 48, 3, 2 * 12 * 48};
    launch(registers_kernel, 1, 160, 64 * 128, nullptr, out, static_cast<const float*>(a), tensor_map(stack, 12, 48, 48, 64, &of));
}
