// Every wrapper of csrc/device once, in a kernel named after it: tests/test_nvcc.py pins the PTX each becomes.
#include "../../csrc/device/barrier.cuh"
#include "../../csrc/device/cluster.cuh"
#include "../../csrc/device/cp_async.cuh"
#include "../../csrc/device/exp2.cuh"
#include "../../csrc/device/ldmatrix.cuh"
#include "../../csrc/device/mma.cuh"
#include "../../csrc/device/tma.cuh"
#include "../../csrc/device/wgmma_registers.cuh"

using namespace tg::device;

#define KERNEL(name, ...) extern "C" __global__ void name(__VA_ARGS__)

KERNEL(ldmatrix_x4_, unsigned* out, const void* p) {
    unsigned r[4];
    ldmatrix_x4(r, p);
    out[0] = r[0] + r[1] + r[2] + r[3];
}
KERNEL(ldmatrix_x4_transposed_, unsigned* out, const void* p) {
    unsigned r[4];
    ldmatrix_x4_transposed(r, p);
    out[0] = r[0] + r[1] + r[2] + r[3];
}

template <class F> __device__ void product(float* out, const unsigned* in, F&& multiply) {
    float d[4] = {out[0], out[1], out[2], out[3]};
    const unsigned a[4] = {in[0], in[1], in[2], in[3]}, b[2] = {in[4], in[5]};
    multiply(d, a, b);
    for (int i = 0; i < 4; ++i) out[i] = d[i];
}
#define PRODUCT(wrapper) \
    KERNEL(wrapper##_, float* out, const unsigned* in) { product(out, in, [](auto& d, auto& a, auto& b) { wrapper(d, a, b); }); }
PRODUCT(mma_m16n8k16_bf16)
PRODUCT(mma_m16n8k16_fp16)
PRODUCT(mma_m16n8k8_tf32)
KERNEL(to_tf32_, unsigned* out) { out[0] = to_tf32(out[1]); }
KERNEL(to_tf32_even_, float* out) { out[0] = to_tf32_even(out[1]); }

KERNEL(exp2_approximate_, float* out) { out[0] = exp2_approximate(out[1]); }

KERNEL(cp_async_16_, void* to, const void* from, unsigned filled) { cp_async_16(to, from, filled); }
KERNEL(cp_async_4_, void* to, const void* from, unsigned filled) { cp_async_4(to, from, filled); }
KERNEL(cp_async_commit_, ) { cp_async_commit(); }
KERNEL(cp_async_wait_1_, ) { cp_async_wait<1>(); }

KERNEL(named_barrier_sync_, unsigned id, unsigned threads) { named_barrier_sync(id, threads); }
KERNEL(named_barrier_arrive_, unsigned id, unsigned threads) { named_barrier_arrive(id, threads); }

KERNEL(mbarrier_init_, uint64_t* b, unsigned n) { mbarrier_init(b, n); }
KERNEL(fence_mbarrier_init_, ) { fence_mbarrier_init(); }
KERNEL(mbarrier_arrive_, uint64_t* b) { mbarrier_arrive(b); }
KERNEL(mbarrier_arrive_expect_, uint64_t* b, unsigned n) { mbarrier_arrive_expect(b, n); }
KERNEL(mbarrier_wait_, uint64_t* b, unsigned parity) { mbarrier_wait(b, parity); }
KERNEL(tma_load_2d_, void* to, const __grid_constant__ CUtensorMap map, int x, int y, uint64_t* b) { tma_load_2d(to, map, x, y, b); }
KERNEL(tma_load_im2col_, void* to, const __grid_constant__ CUtensorMap map, int c, int w, int h, int n, unsigned right, unsigned down, uint64_t* b) {
    tma_load_im2col(to, map, c, w, h, n, right, down, b);
}
KERNEL(tma_load_4d_, void* to, const __grid_constant__ CUtensorMap map, int x, int y, int z, int w, uint64_t* b) {
    tma_load_4d(to, map, x, y, z, w, b);
}
KERNEL(tma_load_multicast_2d_, void* to, const __grid_constant__ CUtensorMap map, int x, int y, uint64_t* b, unsigned blocks) {
    tma_load_multicast_2d(to, map, x, y, b, blocks);
}
KERNEL(tma_store_2d_, const void* from, const __grid_constant__ CUtensorMap map, int x, int y) { tma_store_2d(map, from, x, y); }
KERNEL(tma_store_commit_, ) { tma_store_commit(); }
KERNEL(tma_store_wait_read_1_, ) { tma_store_wait_read<1>(); }
KERNEL(tma_store_wait_0_, ) { tma_store_wait<0>(); }

KERNEL(cluster_rank_, unsigned* out) { out[0] = cluster_rank(); }
KERNEL(cluster_size_, unsigned* out) { out[0] = cluster_size(); }
KERNEL(cluster_arrive_, ) { cluster_arrive(); }
KERNEL(cluster_wait_, ) { cluster_wait(); }
KERNEL(map_to_rank_, unsigned* out, const void* p, unsigned rank) { out[0] = map_to_rank(p, rank); }
KERNEL(load_cluster_, unsigned* out, unsigned address) { out[0] = load_cluster(address); }
KERNEL(store_cluster_, unsigned address, unsigned value) { store_cluster(address, value); }
KERNEL(mbarrier_arrive_remote_, unsigned address) { mbarrier_arrive_remote(address); }
KERNEL(mbarrier_wait_cluster_, uint64_t* b, unsigned parity) { mbarrier_wait_cluster(b, parity); }

KERNEL(wgmma_fence_, ) { wgmma_fence(); }
KERNEL(wgmma_commit_, ) { wgmma_commit(); }
KERNEL(wgmma_wait_1_, ) { wgmma_wait<1>(); }
KERNEL(fence_async_proxy_, ) { fence_async_proxy(); }
KERNEL(fewer_registers_40_, ) { fewer_registers<40>(); }
KERNEL(more_registers_232_, ) { more_registers<232>(); }
template <int COUNT = 64, class F> __device__ void group_product(float* out, F&& multiply) {
    float d[COUNT];
    for (int i = 0; i < COUNT; ++i) d[i] = out[i];
    multiply(d);
    for (int i = 0; i < COUNT; ++i) out[i] = d[i];
}
KERNEL(wgmma_m64n128k16_bf16_, float* out, uint64_t a, uint64_t b) {
    group_product(out, [&](auto& d) { wgmma_m64n128k16_bf16<0, 1>(d, a, b); });
}
KERNEL(wgmma_m64n128k16_fp16_, float* out, uint64_t a, uint64_t b) {
    group_product(out, [&](auto& d) { wgmma_m64n128k16_fp16<1, 0>(d, a, b); });
}
KERNEL(wgmma_m64n128k8_tf32_, float* out, uint64_t a, uint64_t b) {
    group_product(out, [&](auto& d) { wgmma_m64n128k8_tf32(d, a, b); });
}
KERNEL(wgmma_m64n256k16_bf16_, float* out, uint64_t a, uint64_t b) {
    group_product<128>(out, [&](auto& d) { wgmma_m64n256k16_bf16<0, 1>(d, a, b); });
}
KERNEL(wgmma_m64n256k16_fp16_, float* out, uint64_t a, uint64_t b) {
    group_product<128>(out, [&](auto& d) { wgmma_m64n256k16_fp16<1, 0>(d, a, b); });
}
KERNEL(wgmma_m64n32k16_bf16_, float* out, uint64_t a, uint64_t b) {
    group_product<16>(out, [&](auto& d) { wgmma_m64n32k16_bf16<0, 1, 0>(d, a, b); });
}
KERNEL(wgmma_m64n64k16_bf16_, float* out, uint64_t a, uint64_t b) {
    group_product<32>(out, [&](auto& d) { wgmma_m64n64k16_bf16<0, 1, 0>(d, a, b); });
}
KERNEL(wgmma_m64n32k16_fp16_, float* out, uint64_t a, uint64_t b) {
    group_product<16>(out, [&](auto& d) { wgmma_m64n32k16_fp16<0, 1, 0>(d, a, b); });
}
KERNEL(wgmma_m64n64k16_fp16_, float* out, uint64_t a, uint64_t b) {
    group_product<32>(out, [&](auto& d) { wgmma_m64n64k16_fp16<0, 1, 0>(d, a, b); });
}
KERNEL(wgmma_registers_m64n64k16_bf16_, float* out, const unsigned* in, uint64_t b) {
    const unsigned a[4] = {in[0], in[1], in[2], in[3]};
    group_product<32>(out, [&](auto& d) { wgmma_registers_m64n64k16_bf16<1>(d, a, b); });
}
KERNEL(wgmma_registers_m64n64k16_fp16_, float* out, const unsigned* in, uint64_t b) {
    const unsigned a[4] = {in[0], in[1], in[2], in[3]};
    group_product<32>(out, [&](auto& d) { wgmma_registers_m64n64k16_fp16<1>(d, a, b); });
}
KERNEL(wgmma_registers_m64n128k16_bf16_, float* out, const unsigned* in, uint64_t b) {
    const unsigned a[4] = {in[0], in[1], in[2], in[3]};
    group_product<64>(out, [&](auto& d) { wgmma_registers_m64n128k16_bf16<1>(d, a, b); });
}
KERNEL(wgmma_registers_m64n128k16_fp16_, float* out, const unsigned* in, uint64_t b) {
    const unsigned a[4] = {in[0], in[1], in[2], in[3]};
    group_product<64>(out, [&](auto& d) { wgmma_registers_m64n128k16_fp16<1>(d, a, b); });
}
KERNEL(wgmma_registers_m64n256k16_bf16_, float* out, const unsigned* in, uint64_t b) {
    const unsigned a[4] = {in[0], in[1], in[2], in[3]};
    group_product<128>(out, [&](auto& d) { wgmma_registers_m64n256k16_bf16<1>(d, a, b); });
}
KERNEL(wgmma_registers_m64n256k16_fp16_, float* out, const unsigned* in, uint64_t b) {
    const unsigned a[4] = {in[0], in[1], in[2], in[3]};
    group_product<128>(out, [&](auto& d) { wgmma_registers_m64n256k16_fp16<1>(d, a, b); });
}
