// TMA: the copy engine moves a box of a matrix to shared memory and signals an mbarrier. sm_90.
#pragma once
#include "mbarrier.cuh"

namespace tg::device {

// Describes a matrix, (rows, columns) with `stride` elements from row to row, and the box that a copy moves: its rows are 128 bytes,
// 64 elements of 16 bits or 32 of fp32, and are swizzled. Base address and stride must be multiples of 16 bytes.
// fp32 is loaded as tf32, for wgmma, which cuts off what tf32 lacks: TMA rounds each element to nearest, halves to even. The driver's
// manual has the type (TFLOAT32) and no word on its rounding; tests/test_gpu_matmul.py asks the hardware. Such a map is not for stores.
template <class T>
CUtensorMap tensor_map(const T* data, uint64_t rows, uint64_t columns, uint64_t stride, unsigned box_rows) {
    static_assert(sizeof(T) == 2 || std::is_same_v<T, float>);
    constexpr unsigned COLUMNS = 128 / sizeof(T);
    CUtensorMap map;
#ifdef TG_EMULATED
    emu::encode_tensor_map(map, data, sizeof(T), rows, columns, stride * sizeof(T), box_rows, COLUMNS, sizeof(T) == 4);
#else
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found;
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found), "TMA");
    if (found != cudaDriverEntryPointSuccess) throw std::runtime_error("TMA: the driver cannot encode tensor maps");
    const auto encode = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
    const cuuint64_t sizes[] = {columns, rows}, strides[] = {stride * sizeof(T)};
    const cuuint32_t box[] = {COLUMNS, box_rows}, steps[] = {1, 1};
    const auto type = std::is_same_v<T, float>    ? CU_TENSOR_MAP_DATA_TYPE_TFLOAT32
                      : std::is_same_v<T, __half> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                  : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    const CUresult result =
        encode(&map, type, 2, const_cast<T*>(data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
               CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result != CUDA_SUCCESS) throw std::runtime_error("TMA: the driver refused a tensor map (" + std::to_string(int(result)) + ")");
#endif
    return map;
}

// Copies the box whose first element is (row, column); zeros come from outside the matrix. All of the box's bytes count.
__device__ __forceinline__ void tma_load_2d(void* to, const CUtensorMap& map, int column, int row, uint64_t* barrier AT_CALLER) {
#ifdef TG_EMULATED
    emu::tma_load_2d(to, map, column, row, barrier, at);
#else
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
            shared_of(to)),
        "l"(&map), "r"(column), "r"(row), "r"(shared_of(barrier))
        : "memory");
#endif
}

// The same into several blocks of the cluster, bit r of `blocks` for rank r: at this block's addresses of the tile and of the barrier,
// in each of them. Each block's barrier gets all of the box's bytes.
__device__ __forceinline__ void tma_load_multicast_2d(void* to, const CUtensorMap& map, int column, int row, uint64_t* barrier,
                                                      unsigned blocks AT_CALLER) {
#ifdef TG_EMULATED
    emu::tma_load_multicast_2d(to, map, column, row, barrier, blocks, at);
#else
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%2, %3}], [%4], "
        "%5;" ::"r"(shared_of(to)),
        "l"(&map), "r"(column), "r"(row), "r"(shared_of(barrier)), "h"((unsigned short)(blocks))
        : "memory");
#endif
}

// Copies a box to the matrix; what lies outside is not written. Threads that wrote the tile fence (fence_async_proxy) and meet the
// one that stores before. The stores of a thread form groups: `tma_store_commit` closes one.
__device__ __forceinline__ void tma_store_2d(const CUtensorMap& map, const void* from, int column, int row AT_CALLER) {
#ifdef TG_EMULATED
    emu::tma_store_2d(map, from, column, row, at);
#else
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%2, %3}], [%1];" ::"l"(&map), "r"(shared_of(from)),
                 "r"(column), "r"(row)
                 : "memory");
#endif
}

__device__ __forceinline__ void tma_store_commit() {
#ifdef TG_EMULATED
    emu::tma_store_commit();
#else
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
#endif
}

// Waits until all but the PENDING latest groups have read the tiles, which may then be overwritten. A block must not end before.
template <int PENDING> __device__ __forceinline__ void tma_store_wait_read() {
#ifdef TG_EMULATED
    emu::tma_store_wait(PENDING, true);
#else
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(PENDING) : "memory");
#endif
}

// Waits until they have written the matrix.
template <int PENDING> __device__ __forceinline__ void tma_store_wait() {
#ifdef TG_EMULATED
    emu::tma_store_wait(PENDING, false);
#else
    asm volatile("cp.async.bulk.wait_group %0;" ::"n"(PENDING) : "memory");
#endif
}

}  // namespace tg::device
