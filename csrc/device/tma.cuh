// TMA: the copy engine moves a box of a matrix to shared memory and signals an mbarrier. sm_90.
#pragma once
#include "mbarrier.cuh"

namespace tg::device {

#ifndef TG_EMULATED
template <class F> F driver_function(const char* name) {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found;
    check(cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found), "TMA");
    if (found != cudaDriverEntryPointSuccess) throw std::runtime_error("TMA: the driver cannot encode tensor maps");
    return reinterpret_cast<F>(function);
}
#endif

struct Stack {  // matrices alike, and groups of them: their numbers, and elements from one to the next
    uint64_t matrices, matrix_stride, groups, group_stride;
};

// Describes a matrix, or those of a stack, (rows, columns) with `stride` elements from row to row, and the box that a copy moves: its
// rows are 128 bytes, 64 elements of 16 bits or 32 of fp32, and are swizzled. Base address and strides must be multiples of 16 bytes.
// fp32 is loaded as tf32, for wgmma, which cuts off what tf32 lacks: TMA rounds each element to nearest, halves to even. The driver's
// manual has the type (TFLOAT32) and no word on its rounding; tests/test_gpu_matmul.py asks the hardware. Such a map is not for stores.
template <class T>
CUtensorMap tensor_map(const T* data, uint64_t rows, uint64_t columns, uint64_t stride, unsigned box_rows, const Stack* stack = nullptr) {
    static_assert(sizeof(T) == 2 || std::is_same_v<T, float>);
    constexpr unsigned COLUMNS = 128 / sizeof(T);
    const Stack s = stack ? *stack : Stack{};
    CUtensorMap map;
#ifdef TG_EMULATED
    emu::encode_tensor_map(map, data, sizeof(T), rows, columns, stride * sizeof(T), box_rows, COLUMNS, sizeof(T) == 4, s.matrices,
                           s.matrix_stride * sizeof(T), s.groups, s.group_stride * sizeof(T));
#else
    const auto encode = driver_function<decltype(&cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
    const cuuint64_t sizes[] = {columns, rows, s.matrices, s.groups};
    const cuuint64_t strides[] = {stride * sizeof(T), s.matrix_stride * sizeof(T), s.group_stride * sizeof(T)};
    const cuuint32_t box[] = {COLUMNS, box_rows, 1, 1}, steps[] = {1, 1, 1, 1};
    const auto type = std::is_same_v<T, float>    ? CU_TENSOR_MAP_DATA_TYPE_TFLOAT32
                      : std::is_same_v<T, __half> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                  : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    const CUresult result =
        encode(&map, type, stack ? 4 : 2, const_cast<T*>(data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
               CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result != CUDA_SUCCESS) throw std::runtime_error("TMA: the driver refused a tensor map (" + std::to_string(int(result)) + ")");
#endif
    return map;
}

struct Patches {  // one dimension of images, and the bases of the patches in it: first, first + step, ..., last
    int size;
    int64_t stride;  // elements
    int first, last, step;
};

// Describes images, (N, H, W, C) with the channels side by side, for im2col loads: a copy moves 64 channels of `pixels` pixels, one of
// each patch, going through the patches of an image along W first, and on to the next image. What the driver asks for: address and
// strides in multiples of 16 bytes; steps of 1 to 8; first, and last from the last pixel, within -128 and 127.
template <class T>
CUtensorMap im2col_map(const T* data, int channels, const Patches& w, const Patches& h, int images, int64_t stride, unsigned pixels) {
    static_assert(sizeof(T) == 2);
    CUtensorMap map;
    const uint64_t sizes[] = {uint64_t(channels), uint64_t(w.size), uint64_t(h.size), uint64_t(images)};
    const uint64_t strides[] = {uint64_t(w.stride) * sizeof(T), uint64_t(h.stride) * sizeof(T), uint64_t(stride) * sizeof(T)};
    const int lower[] = {w.first, h.first}, upper[] = {w.last - (w.size - 1), h.last - (h.size - 1)};
    const unsigned steps[] = {1, unsigned(w.step), unsigned(h.step), 1};
#ifdef TG_EMULATED
    emu::encode_im2col_map(map, data, sizeof(T), sizes, strides, lower, upper, steps, pixels);
#else
    const auto encode = driver_function<decltype(&cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
    const auto type = std::is_same_v<T, __half> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    const CUresult result = encode(&map, type, 4, const_cast<T*>(data), sizes, strides, lower, upper, 64, pixels, steps,
                                   CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                                   CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result != CUDA_SUCCESS) throw std::runtime_error("TMA: the driver refused an im2col map (" + std::to_string(int(result)) + ")");
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

// Copies channels from c on of a column of pixels, by a map of images: of the patches from the one with base (h, w) in image n on, the
// pixels `down` and `right` from their bases. Zeros come from outside the images. All of the column's bytes count.
__device__ __forceinline__ void tma_load_im2col(void* to, const CUtensorMap& map, int c, int w, int h, int n, unsigned right, unsigned down,
                                                uint64_t* barrier AT_CALLER) {
#ifdef TG_EMULATED
    emu::tma_load_im2col(to, map, c, w, h, n, right, down, barrier, at);
#else
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], [%6], {%7, %8};" ::
            "r"(shared_of(to)),
        "l"(&map), "r"(c), "r"(w), "r"(h), "r"(n), "r"(shared_of(barrier)), "h"((unsigned short)(right)), "h"((unsigned short)(down))
        : "memory");
#endif
}

// tma_load_2d from one matrix of a stack. Zeros come from outside this matrix, whatever lies there.
__device__ __forceinline__ void tma_load_4d(void* to, const CUtensorMap& map, int column, int row, int matrix, int group,
                                            uint64_t* barrier AT_CALLER) {
#ifdef TG_EMULATED
    emu::tma_load_4d(to, map, column, row, matrix, group, barrier, at);
#else
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(
            shared_of(to)),
        "l"(&map), "r"(column), "r"(row), "r"(matrix), "r"(group), "r"(shared_of(barrier))
        : "memory");
#endif
}

// tma_load_2d into several blocks of the cluster, bit r of `blocks` for rank r: at this block's addresses of the tile and of the barrier,
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
