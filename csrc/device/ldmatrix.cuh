// ldmatrix: a warp loads 8 x 8 matrices of 16-bit elements from shared memory into mma registers. sm_75.
#pragma once
#include "../gpu.h"

namespace tg::device {

// Lane 8 i + r gives the address of row r of matrix i (16 bytes, aligned to 16). Register i of lane 4 g + t then holds elements
// (g, 2 t) and (g, 2 t + 1) of matrix i.
__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void* row AT_CALLER) {
#ifdef TG_EMULATED
    emu::ldmatrix(r, row, 4, false, at);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(unsigned(__cvta_generic_to_shared(row)))
                 : "memory");
#endif
}

// The same with each matrix transposed: elements (2 t, g) and (2 t + 1, g).
__device__ __forceinline__ void ldmatrix_x4_transposed(unsigned (&r)[4], const void* row AT_CALLER) {
#ifdef TG_EMULATED
    emu::ldmatrix(r, row, 4, true, at);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(unsigned(__cvta_generic_to_shared(row)))
                 : "memory");
#endif
}

}  // namespace tg::device
