// The emulated bodies of the wrappers in csrc/device.
#pragma once
#include "runtime.h"

struct alignas(64) CUtensorMap {
    uint64_t opaque[16];
};

namespace emu {

// fp32 bits rounded to tf32 (10 bits of mantissa), halves to even; infinities and NaN stay as they are.
constexpr uint32_t tf32_rounded(uint32_t fp32) {
    return (fp32 & 0x7f800000u) == 0x7f800000u ? fp32 : (fp32 + 0xfffu + (fp32 >> 13 & 1)) & 0xffffe000u;
}

// ---- tensor cores (tensor_cores.cpp); registers as PTX lays them out
void ldmatrix(unsigned* registers, const void* row, int count, bool transposed, Site at);
void mma_bf16(float* d, const unsigned* a, const unsigned* b, Site at);  // m16n8k16
void mma_fp16(float* d, const unsigned* a, const unsigned* b, Site at);  // m16n8k16
void mma_tf32(float* d, const unsigned* a, const unsigned* b, Site at);  // m16n8k8

// ---- cp.async (async.cpp)
void cp_async(void* to, const void* from, unsigned bytes, unsigned filled, Site at);
void cp_async_commit();
void cp_async_wait(unsigned pending);

// ---- mbarrier and TMA (hopper.cpp)
void mbarrier_init(uint64_t* barrier, unsigned count, Site at);
void mbarrier_arrive(uint64_t* barrier, Site at);
void mbarrier_arrive_remote(uint32_t address, Site at);
void mbarrier_arrive_expect(uint64_t* barrier, unsigned bytes, Site at);
void mbarrier_wait(uint64_t* barrier, unsigned parity, Site at);
void encode_tensor_map(CUtensorMap& map, const void* data, unsigned item, uint64_t rows, uint64_t columns, uint64_t stride,
                       unsigned box_rows, unsigned box_columns, bool rounds,  // stride in bytes; `rounds`: fp32 to tf32 as it loads
                       uint64_t matrices, uint64_t matrix_stride, uint64_t groups, uint64_t group_stride);  // of a stack; else 0
void tma_load_4d(void* to, const CUtensorMap& map, int column, int row, int matrix, int group, uint64_t* barrier, Site at);
// sizes: of C, W, H, N; strides: of W, H, N in bytes; corners: of W, H; steps: of C, W, H, N
void encode_im2col_map(CUtensorMap& map, const void* data, unsigned item, const uint64_t* sizes, const uint64_t* strides, const int* lower,
                       const int* upper, const unsigned* steps, unsigned pixels);
void tma_load_im2col(void* to, const CUtensorMap& map, int c, int w, int h, int n, unsigned right, unsigned down, uint64_t* barrier, Site at);
void tma_load_2d(void* to, const CUtensorMap& map, int column, int row, uint64_t* barrier, Site at);
void tma_load_multicast_2d(void* to, const CUtensorMap& map, int column, int row, uint64_t* barrier, unsigned mask, Site at);

// ---- TMA stores (tma_store.cpp)
void tma_store_2d(const CUtensorMap& map, const void* from, int column, int row, Site at);
void tma_store_commit();
void tma_store_wait(unsigned pending, bool read_only);

// ---- clusters (cluster.cpp): shared::cluster addresses as 32 bits
unsigned cluster_rank();
unsigned cluster_size();
void cluster_arrive(Site at);
void cluster_wait(Site at);
uint32_t map_to_rank(const void* p, unsigned rank, Site at);
uint32_t load_cluster(uint32_t address, Site at);
void store_cluster(uint32_t address, uint32_t value, Site at);

// ---- wgmma (wgmma.cpp): m64, 32 bytes of k (16 of 16-bit operands, 8 of tf32), operands in shared memory with 128-byte swizzle
enum class Operand { bf16, fp16, tf32 };
struct WgmmaShape {
    int n;
    Operand type;
    bool a_transposed, b_transposed;  // the operand lies i-fastest; 16-bit operands only
    bool adds = true;                 // to what the registers of the result hold
};
void wgmma(float* d, uint64_t a, uint64_t b, WgmmaShape shape, Site at);
void wgmma_registers(float* d, const unsigned* a, uint64_t b, WgmmaShape shape, Site at);  // the left operand in four registers
void wgmma_commit(Site at);
void wgmma_wait(unsigned pending, Site at);

// fence.proxy.async: ordinary writes of the thread become visible to wgmma and TMA (only the lab can tell)
void fence_async_proxy(Site at);

}  // namespace emu
