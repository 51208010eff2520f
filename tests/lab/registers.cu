// Races for registers: wgmma reads and writes them on its own.
#include "../../csrc/device/wgmma_registers.cuh"
#include "pairs.h"

using namespace tg::device;

KERNEL(operand_not_left_alone)(float* out) {
    DYNAMIC_SHARED(char, tile);
    const int t = int(threadIdx.x);
    for (int i = t; i < 8192 / 4; i += 128) reinterpret_cast<float*>(tile)[i] = 0;
    fence_async_proxy();
    __syncthreads();
    float sum[32] = {};
    unsigned a[4] = {};
    wgmma_fence();
    wgmma_registers_m64n64k16_bf16<1>(sum, a, wgmma_descriptor(tile, 0));  // RACE operand_not_left_alone
    wgmma_commit();
    if (GOOD) wgmma_wait<0>();
    a[0] = unsigned(t);  // RACE operand_not_left_alone
    wgmma_wait<0>();
    wgmma_fence();
    wgmma_registers_m64n64k16_bf16<1>(sum, a, wgmma_descriptor(tile, 0));
    wgmma_commit();
    wgmma_wait<0>();
    out[t] = sum[5];
}
PAIR(operand_not_left_alone, 1, 128, 65536)
