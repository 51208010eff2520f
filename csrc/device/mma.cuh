// mma.sync: D += A B by a warp, A (16, k) row by row, B (k, 8) column by column, D (16, 8) in fp32. sm_80.
//
// Lane 4 g + t holds of D: (g, 2 t), (g, 2 t + 1), (g + 8, 2 t), (g + 8, 2 t + 1).
// 16-bit, k = 16: of A pairs at (g, 2 t), (g + 8, 2 t), (g, 2 t + 8), (g + 8, 2 t + 8); of B pairs at (2 t, g), (2 t + 8, g).
// tf32, k = 8: of A (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4); of B (t, g), (t + 4, g).
#pragma once
#include "../gpu.h"

namespace tg::device {

__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2] AT_CALLER) {
#ifdef TG_EMULATED
    emu::mma_bf16(d, a, b, at);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

__device__ __forceinline__ void mma_m16n8k16_fp16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2] AT_CALLER) {
#ifdef TG_EMULATED
    emu::mma_fp16(d, a, b, at);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// The operands are fp32; the lowest 13 bits of each are not looked at. Round with `to_tf32` first.
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2] AT_CALLER) {
#ifdef TG_EMULATED
    emu::mma_tf32(d, a, b, at);
#else
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// fp32 bits rounded to tf32 (10 bits of mantissa), halves away from zero.
__device__ __forceinline__ unsigned to_tf32(unsigned fp32) {
#ifdef TG_EMULATED
    return (fp32 & 0x7f800000u) == 0x7f800000u ? fp32 : (fp32 + 0x1000u) & 0xffffe000u;
#else
    unsigned rounded;
    asm volatile("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(fp32)));
    return rounded;
#endif
}

// The same, halves to even, as TMA rounds (tensor_map of fp32). sm_90.
__device__ __forceinline__ float to_tf32_even(float x) {
#ifdef TG_EMULATED
    return std::bit_cast<float>(emu::tf32_rounded(std::bit_cast<uint32_t>(x)));
#else
    unsigned rounded;
    asm volatile("cvt.rn.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
    return __uint_as_float(rounded);
#endif
}

}  // namespace tg::device
