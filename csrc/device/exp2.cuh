// The special function unit's 2^x: one instruction, where exp2f takes four to keep the smallest results. sm_75.
#pragma once
#include "../gpu.h"

namespace tg::device {

// 2^x to 2 units in the last place; what is below the normal numbers is 0.
__device__ __forceinline__ float exp2_approximate(float x) {
#ifdef TG_EMULATED
    const float y = exp2f(x);
    return y < 0x1p-126f ? 0.0f : y;
#else
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

}  // namespace tg::device
