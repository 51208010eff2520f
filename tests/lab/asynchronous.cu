// Races with what works on its own: cp.async, mbarriers and TMA, wgmma, ldmatrix.
#include "pairs.h"

#include "../../csrc/device/cp_async.cuh"
#include "../../csrc/device/ldmatrix.cuh"
#include "../../csrc/device/tma.cuh"
#include "../../csrc/device/wgmma.cuh"

using namespace tg::device;

KERNEL(copy_without_wait)(float* out) {
    __shared__ __align__(16) float values[128];
    const int t = int(threadIdx.x);
    cp_async_16(values + 4 * t, out + 4 * t, 16);  // RACE copy_without_wait
    cp_async_commit();
    if (GOOD) cp_async_wait<0>();
    __syncthreads();
    out[512 + t] = values[t];  // RACE copy_without_wait
}
PAIR(copy_without_wait, 1, 32, 0)

KERNEL(copy_read_by_another)(float* out) {  // a wait speaks for the thread that waits alone
    __shared__ __align__(16) float values[256];
    const int t = int(threadIdx.x);
    cp_async_16(values + 4 * t, out + 4 * t, 16);  // RACE copy_read_by_another
    cp_async_commit();
    cp_async_wait<0>();
    if (GOOD) __syncthreads();
    out[512 + t] = values[4 * (63 - t)];  // RACE copy_read_by_another
}
PAIR(copy_read_by_another, 1, 64, 0)

KERNEL(copy_group_too_young)(float* out) {
    __shared__ __align__(16) float values[2][128];
    const int t = int(threadIdx.x);
    for (int i = 0; i < 2; ++i) {
        cp_async_16(values[i] + 4 * t, out + 4 * t, 16);  // RACE copy_group_too_young
        cp_async_commit();
    }
    cp_async_wait<1>();
    out[512 + t] = values[0][4 * t] + values[GOOD ? 0 : 1][4 * t];  // RACE copy_group_too_young
}
PAIR(copy_group_too_young, 1, 32, 0)

KERNEL(copy_over_readers)(float* out) {
    __shared__ __align__(16) float values[256];
    const int t = int(threadIdx.x);
    for (int i = 0; i < 4; ++i) values[4 * t + i] = 1;
    __syncthreads();
    const float v = values[4 * (t ^ 32)];  // RACE copy_over_readers
    if (GOOD) __syncthreads();
    cp_async_16(values + 4 * t, out + 4 * t, 16);  // RACE copy_over_readers
    cp_async_commit();
    cp_async_wait<0>();
    out[512 + t] = v + values[4 * t];
}
PAIR(copy_over_readers, 1, 64, 0)

KERNEL(matrix_of_another_lane)(float* out) {
    __shared__ __align__(16) unsigned short rows[32][8];
    const int t = int(threadIdx.x);
    for (int i = 0; i < 8; ++i) rows[t][i] = (unsigned short)(t);  // RACE matrix_of_another_lane
    if (GOOD) __syncwarp();
    unsigned r[4];
    ldmatrix_x4(r, rows[t]);  // RACE matrix_of_another_lane
    out[t] = float(r[0] + r[1] + r[2] + r[3]);
}
PAIR(matrix_of_another_lane, 1, 32, 0)

KERNEL(phase)(float* out) {  // consumers wait for the phase that is over before it began
    __shared__ float values[32];
    __shared__ uint64_t full;
    const int t = int(threadIdx.x);
    if (t == 0) mbarrier_init(&full, GOOD ? 32 : 33);  // 33: the phase never ends
    __syncthreads();
    if (t < 32) {
        values[t] = float(t);  // RACE phase
        mbarrier_arrive(&full);
    } else {
        mbarrier_wait(&full, GOOD ? 0 : 1);
        out[t] = GOOD ? values[63 - t] : values[t - 32];  // RACE phase
    }
}
PAIR(phase, 1, 64, 0)

KERNEL(phase_not_over)(float* out) {  // what the next phase publishes is not learned from this one
    __shared__ float values[2];
    __shared__ uint64_t full;
    const int t = int(threadIdx.x);
    if (t == 0) mbarrier_init(&full, 2);
    __syncthreads();
    if (t == 0) {
        values[0] = 1;
        mbarrier_arrive(&full);
        mbarrier_wait(&full, 0);
        values[1] = 2;  // RACE phase_not_over
        mbarrier_arrive(&full);
    } else if (t == 32) {
        mbarrier_arrive(&full);
        mbarrier_wait(&full, 0);
        if (!GOOD) __shfl_sync(1, t, 0);  // gives thread 0 time, orders nothing
        out[t] = values[GOOD ? 0 : 1];  // RACE phase_not_over
    }
}
PAIR(phase_not_over, 1, 64, 0)

KERNEL(barrier_not_visible)(float* out) {
    __shared__ uint64_t full;
    const int t = int(threadIdx.x);
    if (t == 0) mbarrier_init(&full, 1);  // RACE barrier_not_visible
    if (GOOD) __syncthreads();
    else emu::warp_collective(~0u, "a warp vote", nullptr, [](void**, unsigned) {}, emu::Site::current());
    if (t == 1) mbarrier_arrive(&full);  // RACE barrier_not_visible
    out[t] = 0;
}
PAIR(barrier_not_visible, 1, 32, 0)

// ---- TMA and wgmma; the array holds (128, 64) elements of 16 bits
__device__ void load_box(void* to, const CUtensorMap& map, uint64_t* full) {
    mbarrier_arrive_expect(full, 64 * 128);
    tma_load_2d(to, map, 0, 0, full);
}

#define TMA_PAIR(name, threads)                                                                                  \
    CASE(name##_racy) { launch(name<false>, 1, threads, 65536, nullptr, out, tensor_map(bf16(out), 64, 64, 64, 64)); } \
    CASE(name##_clean) { launch(name<true>, 1, threads, 65536, nullptr, out, tensor_map(bf16(out), 64, 64, 64, 64)); }
static const __nv_bfloat16* bf16(float* p) { return reinterpret_cast<const __nv_bfloat16*>(p); }

KERNEL(tile_not_waited_for)(float* out, const __grid_constant__ CUtensorMap map) {
    DYNAMIC_SHARED(float, tile);
    __shared__ uint64_t full;
    const int t = int(threadIdx.x);
    if (t == 0) {
        mbarrier_init(&full, 1);
        mbarrier_arrive_expect(&full, 64 * 128);
        tma_load_2d(tile, map, 0, 0, &full);  // RACE tile_not_waited_for
    }
    __syncthreads();
    if (GOOD || t < 32) mbarrier_wait(&full, 0);
    out[4096 + t] = tile[t];  // RACE tile_not_waited_for
}
TMA_PAIR(tile_not_waited_for, 64)

KERNEL(tile_over_readers)(float* out, const __grid_constant__ CUtensorMap map) {
    DYNAMIC_SHARED(float, tile);
    __shared__ uint64_t full;
    const int t = int(threadIdx.x);
    if (t == 0) mbarrier_init(&full, 1);
    tile[t] = 1;
    __syncthreads();
    out[4096 + t] = tile[t];  // RACE tile_over_readers
    if (GOOD) __syncthreads();
    if (t == 0) {
        mbarrier_arrive_expect(&full, 64 * 128);
        tma_load_2d(tile, map, 0, 0, &full);  // RACE tile_over_readers
    }
    mbarrier_wait(&full, 0);
    out[4160 + t] = tile[t];
}
TMA_PAIR(tile_over_readers, 64)

KERNEL(tile_over_products)(float* out, const __grid_constant__ CUtensorMap map) {  // the buffer is filled again too early
    DYNAMIC_SHARED(char, tiles);
    __shared__ uint64_t full;
    const int t = int(threadIdx.x);
    if (t == 0) {
        mbarrier_init(&full, 1);
        mbarrier_arrive_expect(&full, 3 * 64 * 128);
        for (int i = 0; i < 3; ++i) tma_load_2d(tiles + i * 8192, map, 0, 0, &full);
    }
    __syncthreads();
    mbarrier_wait(&full, 0);
    float sum[64] = {};
    wgmma_fence();
    wgmma_m64n128k16_bf16<0, 0>(sum, wgmma_descriptor(tiles, 0), wgmma_descriptor(tiles + 8192, 0));  // RACE tile_over_products
    wgmma_commit();
    if (GOOD) wgmma_wait<0>();
    __syncthreads();
    if (t == 0) {
        mbarrier_arrive_expect(&full, 64 * 128);
        tma_load_2d(tiles, map, 0, 0, &full);  // RACE tile_over_products
    }
    wgmma_wait<0>();
    mbarrier_wait(&full, 1);
    out[4096 + t] = sum[0];
}
TMA_PAIR(tile_over_products, 128)

KERNEL(products_of_ordinary_writes)(float* out) {  // without the fence wgmma may not see them
    DYNAMIC_SHARED(char, tiles);
    const int t = int(threadIdx.x);
    for (int i = t; i < 3 * 8192 / 4; i += 128) reinterpret_cast<float*>(tiles)[i] = 0;  // RACE products_of_ordinary_writes
    if (GOOD) fence_async_proxy();
    __syncthreads();
    float sum[64] = {};
    wgmma_fence();
    wgmma_m64n128k16_bf16<0, 0>(sum, wgmma_descriptor(tiles, 0), wgmma_descriptor(tiles + 8192, 0));  // RACE products_of_ordinary_writes
    wgmma_commit();
    wgmma_wait<0>();
    out[t] = sum[0];
}
PAIR(products_of_ordinary_writes, 1, 128, 65536)

KERNEL(products_of_unordered_writes)(float* out) {
    DYNAMIC_SHARED(char, tiles);
    const int t = int(threadIdx.x);
    for (int i = t; i < 3 * 8192 / 4; i += 128) reinterpret_cast<float*>(tiles)[i] = 0;  // RACE products_of_unordered_writes
    fence_async_proxy();
    if (GOOD) __syncthreads();
    float sum[64] = {};
    wgmma_fence();
    wgmma_m64n128k16_bf16<0, 0>(sum, wgmma_descriptor(tiles, 0), wgmma_descriptor(tiles + 8192, 0));  // RACE products_of_unordered_writes
    wgmma_commit();
    wgmma_wait<0>();
    out[t] = sum[0];
}
PAIR(products_of_unordered_writes, 1, 128, 65536)

KERNEL(sums_not_waited_for)(float* out, const __grid_constant__ CUtensorMap map) {
    DYNAMIC_SHARED(char, tiles);
    __shared__ uint64_t full;
    const int t = int(threadIdx.x);
    if (t == 0) {
        mbarrier_init(&full, 1);
        mbarrier_arrive_expect(&full, 3 * 64 * 128);
        for (int i = 0; i < 3; ++i) tma_load_2d(tiles + i * 8192, map, 0, 0, &full);
    }
    __syncthreads();
    mbarrier_wait(&full, 0);
    float sum[64] = {};
    wgmma_fence();
    wgmma_m64n128k16_bf16<0, 0>(sum, wgmma_descriptor(tiles, 0), wgmma_descriptor(tiles + 8192, 0));  // RACE sums_not_waited_for
    wgmma_commit();
    if (GOOD) wgmma_wait<0>();
    out[4096 + t] = sum[5];  // RACE sums_not_waited_for
    wgmma_wait<0>();
}
TMA_PAIR(sums_not_waited_for, 128)

KERNEL(column_over_readers)(float* out, const __grid_constant__ CUtensorMap map) {  // of pixels, gathered by TMA
    DYNAMIC_SHARED(float, tile);
    __shared__ uint64_t full;
    const int t = int(threadIdx.x);
    if (t == 0) mbarrier_init(&full, 1);
    tile[t] = 1;
    __syncthreads();
    out[4096 + t] = tile[t];  // RACE column_over_readers
    if (GOOD) __syncthreads();
    if (t == 0) {
        mbarrier_arrive_expect(&full, 64 * 128);
        tma_load_im2col(tile, map, 0, -1, -1, 0, 1, 2, &full);  // RACE column_over_readers
    }
    mbarrier_wait(&full, 0);
    out[4160 + t] = tile[t];
}
static CUtensorMap small_images(float* out) { return im2col_map(bf16(out), 64, {4, 64, -1, 3, 1}, {4, 256, -1, 3, 1}, 2, 1024, 64); }
CASE(column_over_readers_racy) { launch(column_over_readers<false>, 1, 64, 65536, nullptr, out, small_images(out)); }
CASE(column_over_readers_clean) { launch(column_over_readers<true>, 1, 64, 65536, nullptr, out, small_images(out)); }
