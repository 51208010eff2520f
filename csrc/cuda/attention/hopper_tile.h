// The arithmetic of the Hopper rungs: wgmma on tiles that TMA brings, for a warpgroup of consumers with 64 rows.
//
// A tile of vectors lies in shared memory as chunks of 64 columns, each a box of TMA with rows of 128 bytes. Register e of a row of
// sums (64, n) belongs to row 16 w + g + e % 4 / 2 * 8 and column e / 4 * 8 + 2 t + e % 2, for lane 4 g + t of warp w. The registers
// in which sums are left are those in which wgmma takes its left operand, so weights never leave them.
#pragma once
#include "../../device/barrier.cuh"
#include "../../device/exp2.cuh"
#include "../../device/tma.cuh"
#include "../../device/wgmma_registers.cuh"
#include "problem.h"

namespace tg::attention::hopper {

constexpr int BOX = 64;  // columns of a chunk
constexpr int GROUP = 128, GROUP_ROWS = 64;

// What wgmma is called for n columns and a dtype.
#define TG_PRODUCTS(n, T, name)                                                                                       \
    template <int ADD> __device__ __forceinline__ void product(float (&d)[n / 2], uint64_t a, uint64_t b, T) {        \
        device::wgmma_m64n##n##k16_##name<0, 0, ADD>(d, a, b);                                                        \
    }
TG_PRODUCTS(32, __nv_bfloat16, bf16)
TG_PRODUCTS(32, __half, fp16)
TG_PRODUCTS(64, __nv_bfloat16, bf16)
TG_PRODUCTS(64, __half, fp16)
TG_PRODUCTS(128, __nv_bfloat16, bf16)
TG_PRODUCTS(128, __half, fp16)
#undef TG_PRODUCTS
#define TG_PRODUCTS(n, T, name)                                                                                       \
    __device__ __forceinline__ void product(float (&d)[n / 2], const unsigned (&a)[4], uint64_t b, T) {               \
        device::wgmma_registers_m64n##n##k16_##name<1>(d, a, b);                                                      \
    }
TG_PRODUCTS(64, __nv_bfloat16, bf16)
TG_PRODUCTS(64, __half, fp16)
TG_PRODUCTS(128, __nv_bfloat16, bf16)
TG_PRODUCTS(128, __half, fp16)
TG_PRODUCTS(256, __nv_bfloat16, bf16)
TG_PRODUCTS(256, __half, fp16)
#undef TG_PRODUCTS

// s (64, N) = A B^T, as a group: 64 rows of a tile of A_ROWS, and the N vectors of B, of D columns each.
template <int D, int A_ROWS, int N, class T> __device__ __forceinline__ void dots(float (&s)[N / 2], const T* A, const T* B) {
    device::wgmma_fence();
#pragma unroll
    for (int d = 0; d < D; d += 16) {
        const uint64_t a = device::wgmma_descriptor(A + d / BOX * A_ROWS * BOX, 0) + d % BOX / 8;
        const uint64_t b = device::wgmma_descriptor(B + d / BOX * N * BOX, 0) + d % BOX / 8;
        if (d == 0) product<0>(s, a, b, T());
        else product<1>(s, a, b, T());
    }
    device::wgmma_commit();
}

// result (64, D) += weights (64, N) B, as a group.
template <int D, int N, class T>
__device__ __forceinline__ void accumulate(float (&result)[D / 2], const unsigned (&weights)[N / 16][4], const T* B) {
    device::wgmma_fence();
    const uint64_t b = device::wgmma_descriptor(B, N * BOX * sizeof(T));
#pragma unroll
    for (int k = 0; k < N / 16; ++k) product(result, weights[k], b + k * 128, T());
    device::wgmma_commit();
}

// Sums of 64 rows rounded to 16 bits, as the left operand of the next product.
template <int N, class T> __device__ __forceinline__ void round(unsigned (&w)[N / 16][4], const float (&s)[N / 2], T) {
#pragma unroll
    for (int e = 0; e < N / 2; e += 2) w[e / 8][e / 2 % 4] = pack(s[e], s[e + 1], T());
}

// One thread's TMA of a tile: D columns of the vectors of a head from position `first` on; zeros where there are none.
template <int D, int ROWS, class T>
__device__ __forceinline__ void load(T* tile, const CUtensorMap& map, int first, int h, int b, uint64_t* full) {
    device::mbarrier_arrive_expect(full, ROWS * D * sizeof(T));
#pragma unroll
    for (int d = 0; d < D; d += BOX) device::tma_load_4d(tile + d * ROWS, map, d, first, h, b, full);
}

// The vectors of all heads, for boxes of `rows` positions.
template <class T> CUtensorMap map_of(const Heads<const T>& x, int batch, int heads, int positions, int width, int rows) {
    const auto step = [](int64_t stride, int count) { return count > 1 ? stride : 8; };  // nobody steps where there is one
    const int64_t row = step(x.row, positions);
    const device::Stack stack{uint64_t(heads), uint64_t(step(x.head, heads)), uint64_t(batch), uint64_t(step(x.batch, batch))};
    for (const int64_t stride : {row, int64_t(stack.matrix_stride), int64_t(stack.group_stride)})
        if (stride <= 0 || stride % 8) throw std::invalid_argument("the kernel needs strides of whole 16 bytes");
    if (reinterpret_cast<uintptr_t>(x.data) % 16) throw std::invalid_argument("the kernel needs data at a multiple of 16 bytes");
    if (!positions || !width) throw std::invalid_argument("the kernel needs keys and heads that are not empty");
    return device::tensor_map(x.data, positions, width, row, rows, &stack);
}

// Writes a warp's 16 of 64 rows of results times a factor of each row, by way of `rows` in shared memory, a tile of A_ROWS: whole vectors
// go out.
template <int D, int A_ROWS, class T>
__device__ __forceinline__ void store(T* rows, const Heads<T>& to, bool chunks, int b, int h, int first, int positions, int width,
                                      const float (&result)[D / 2], const float (&factor)[2]) {
    const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32 % 4;
#pragma unroll
    for (int e = 0; e < D / 2; e += 2) {
        const int r = warp * 16 + lane / 4 + e % 4 / 2 * 8, column = e / 4 * 8;
        T* const chunk = rows + column / BOX * A_ROWS * BOX + r * BOX;
        const float f = factor[e % 4 / 2];
        const unsigned pair = pack(result[e] * f, result[e + 1] * f, T());
        *reinterpret_cast<unsigned*>(chunk + (column % BOX / 8 ^ r % 8) * 8 + lane % 4 * 2) = pair;
    }
    __syncwarp();
    for (int at = lane; at < 16 * D / 8; at += 32) {
        const int r = warp * 16 + at / (D / 8), d = at % (D / 8) * 8, i = first + r;
        if (i >= positions || d >= width) continue;
        const T* from = rows + d / BOX * A_ROWS * BOX + r * BOX + (d % BOX / 8 ^ r % 8) * 8;
        T* element = to.at(b, h, i) + d;
        if (chunks && d + 8 <= width) *reinterpret_cast<int4*>(element) = *reinterpret_cast<const int4*>(from);
        else
            for (int e = 0; e < min(8, width - d); ++e) element[e] = from[e];
    }
}

}  // namespace tg::attention::hopper
