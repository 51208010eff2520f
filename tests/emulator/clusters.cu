// Thread-block clusters and TMA stores: what they do, and each way they go wrong (the line a message names carries `// -> name`).
#include "../../csrc/device/cluster.cuh"
#include "../../csrc/device/tma.cuh"
#include "../../csrc/device/wgmma.cuh"
#include "cases.h"

using namespace tg::device;
using tg::launch_clusters;
using Half = __nv_bfloat16;

__device__ void cluster_sync(EMU_HERE) {
    cluster_arrive(at);
    cluster_wait(at);
}

__global__ void ranks_kernel(float* out) {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    if (threadIdx.x == 0) out[block] = float(cluster_rank() + 10 * cluster_size());
}
CASE(cluster_ranks) { launch_clusters(ranks_kernel, dim3(4, 2, 2), dim3(2, 1, 2), 32, 0, nullptr, out); }
CASE(lone_ranks) { launch(ranks_kernel, dim3(4, 2, 2), 32, 0, nullptr, out); }

// Every block gives its threads' numbers to the next by a store, and reads the one before by a load.
__global__ void ring_kernel(float* out) {
    __shared__ unsigned mine[32], given[32];
    DYNAMIC_SHARED(unsigned, dynamic);
    const unsigned t = threadIdx.x, size = cluster_size(), rank = cluster_rank();
    mine[t] = blockIdx.x * 100 + t;
    cluster_sync();
    store_cluster(map_to_rank(&given[t], (rank + 1) % size), mine[t]);
    dynamic[t] = load_cluster(map_to_rank(&mine[31 - t], (rank + size - 1) % size));
    cluster_sync();
    out[blockIdx.x * 64 + t] = float(given[t]);
    out[blockIdx.x * 64 + 32 + t] = float(load_cluster(map_to_rank(&dynamic[t], rank)));
}
CASE(ring) { launch_clusters(ring_kernel, 12, 4, 32, 128, nullptr, out); }

// Threads that return count as arrived, also in the middle of a phase.
__global__ void leaving_kernel(float* out) {
    const unsigned t = threadIdx.x;
    if (t % 4 == 0) return;
    cluster_arrive();
    if (t % 4 == 1) return;
    cluster_wait();
    for (int i = 0; i < 3; ++i) cluster_sync();
    out[blockIdx.x * 64 + t] = 1;
}
CASE(leaving) { launch_clusters(leaving_kernel, 4, 2, 64, 0, nullptr, out); }

// Round after round, all blocks arrive at the first one's barrier, which answers at theirs.
__global__ void remote_arrive_kernel(float* out, int rounds) {
    __shared__ uint64_t asked, answered;
    const unsigned rank = cluster_rank(), size = cluster_size();
    if (threadIdx.x == 0) {
        mbarrier_init(&asked, size * 32);
        mbarrier_init(&answered, 1);
        fence_mbarrier_init();
    }
    cluster_sync();
    for (int i = 0; i < rounds; ++i) {
        mbarrier_arrive_remote(map_to_rank(&asked, 0));
        if (rank == 0) {
            mbarrier_wait_cluster(&asked, i % 2);
            if (threadIdx.x == 5)
                for (unsigned r = 0; r < size; ++r) mbarrier_arrive_remote(map_to_rank(&answered, r));
        }
        mbarrier_wait_cluster(&answered, i % 2);
    }
    out[blockIdx.x * 32 + threadIdx.x] = float(rounds);
    cluster_sync();
}
CASE(remote_arrive) { launch_clusters(remote_arrive_kernel, 8, 4, 32, 0, nullptr, out, 5); }

// Matrices whose element (i, j) has the bits 100 i + j.
const Half* numbered(int rows, int columns) {
    static Half data[128 * 128];
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) data[i * columns + j].bits = uint16_t(100 * i + j);
    return data;
}
__device__ uint16_t& at_swizzled(Half* tile, int row, int column) {
    return tile[row * 64 + ((column / 8 ^ row % 8) * 8 + column % 8)].bits; }

// Each block fetches its share of the rows for all.
__global__ void multicast_kernel(float* out, const __grid_constant__ CUtensorMap map, int expected, unsigned mask) {
    DYNAMIC_SHARED(Half, tile);
    __shared__ uint64_t full;
    const int rank = int(cluster_rank()), rows = 32 / int(cluster_size());
    if (threadIdx.x == 0) {
        mbarrier_init(&full, 1);
        fence_mbarrier_init();
    }
    cluster_sync();
    if (threadIdx.x == 0) {
        if (expected) mbarrier_arrive_expect(&full, expected);
        else mbarrier_arrive(&full);
        tma_load_multicast_2d(tile + rank * rows * 64, map, 8, rank * rows, &full, mask);  // -> too_many_blocks
    }
    mbarrier_wait(&full, 0);
    for (int i = 0; i < 32; ++i) out[blockIdx.x * 2048 + i * 64 + threadIdx.x] = at_swizzled(tile, i, threadIdx.x);
    cluster_sync();
}
void multicast(float* out, int blocks, int cluster, int expected, unsigned mask) {
    const CUtensorMap map = tensor_map(numbered(28, 40), 28, 40, 40, 32 / cluster);  // zeros below and on the right
    launch_clusters(multicast_kernel, blocks, cluster, 64, 32 * 128, nullptr, out, map, expected, mask);
}
CASE(multicast_1) { multicast(out, 4, 1, 32 * 128, 1); }
CASE(multicast_2) { multicast(out, 4, 2, 32 * 128, 3); }
CASE(multicast_4) { multicast(out, 4, 4, 32 * 128, 15); }
CASE(too_many_blocks) { multicast(out, 4, 2, 32 * 128, 7); }
CASE(unexpected_copy) { multicast(out, 4, 2, 0, 3); }
CASE(missing_copy) { multicast(out, 4, 2, 32 * 128, 1); }

// Stores two tiles by one buffer; the edges cut the box.
template <int KEPT> __global__ void store_kernel(const __grid_constant__ CUtensorMap map, bool wait) {
    DYNAMIC_SHARED(Half, tile);
    for (int box = 0; box < 2; ++box) {
        if (threadIdx.x == 0 && wait) tma_store_wait_read<KEPT>();
        __syncthreads();
        for (int i = 0; i < 32; ++i) at_swizzled(tile, i, threadIdx.x) = uint16_t(100 * i + 64 * box + threadIdx.x);
        fence_async_proxy();
        __syncthreads();
        if (threadIdx.x == 0) {
            tma_store_2d(map, tile, box * 64, 0);  // -> store_without_wait
            tma_store_commit();
        }
    }
    if (threadIdx.x == 0 && wait) tma_store_wait_read<0>();
}
template <int KEPT> void store(float* out, bool wait) {
    const CUtensorMap map = tensor_map(reinterpret_cast<const Half*>(out), 28, 104, 104, 32);
    launch(store_kernel<KEPT>, 1, 64, 32 * 128, nullptr, map, wait);
}
CASE(store_tiles) { store<0>(out, true); }
CASE(store_overwritten) { store<1>(out, true); }
CASE(store_without_wait) { store<0>(out, false); }

// ---- each way it goes wrong
__global__ void stuck_kernel(float* out) {
    __shared__ uint64_t barrier;
    if (threadIdx.x == 0) mbarrier_init(&barrier, 1);
    cluster_sync();
    if (cluster_rank() == 0) mbarrier_wait_cluster(&barrier, 0);  // -> cluster_deadlock
    cluster_sync();
    out[0] = 1;
}
CASE(cluster_deadlock) { launch_clusters(stuck_kernel, 2, 2, 32, 0, nullptr, out); }

__global__ void beyond_kernel(float* out) {
    __shared__ unsigned value;
    cluster_sync();
    out[0] = float(map_to_rank(&value, cluster_rank() + 1));  // -> rank_beyond
    cluster_sync();
}
CASE(rank_beyond) { launch_clusters(beyond_kernel, 2, 2, 32, 0, nullptr, out); }

__global__ void early_kernel(float* out) {
    __shared__ unsigned value[32];
    value[threadIdx.x] = 1;
    out[threadIdx.x] = float(load_cluster(map_to_rank(&value[threadIdx.x], 1 - cluster_rank())));  // -> too_early
    cluster_sync();
}
CASE(too_early) { launch_clusters(early_kernel, 2, 2, 32, 0, nullptr, out); }

__global__ void late_kernel(float* out) {
    __shared__ unsigned value[32];
    value[threadIdx.x] = 1;
    cluster_sync();
    out[threadIdx.x] = float(load_cluster(map_to_rank(&value[threadIdx.x], 1 - cluster_rank())));  // -> too_late
}
CASE(too_late) { launch_clusters(late_kernel, 2, 2, 32, 0, nullptr, out); }

__global__ void ends_kernel(const __grid_constant__ CUtensorMap map, bool multicast) {
    DYNAMIC_SHARED(Half, tile);
    __shared__ uint64_t full;
    if (threadIdx.x == 0) mbarrier_init(&full, 1);
    cluster_sync();
    if (threadIdx.x) return;
    mbarrier_arrive_expect(&full, 32 * 128);
    if (!multicast) tma_load_2d(tile, map, 0, 0, &full);  // -> own_copy_under_way
    else if (cluster_rank() == 0) tma_load_multicast_2d(tile, map, 0, 0, &full, 3);  // -> copy_under_way
}
void ends(int cluster, bool multicast) {
    launch_clusters(ends_kernel, cluster, cluster, 32, 32 * 128, nullptr, tensor_map(numbered(32, 64), 32, 64, 64, 32), multicast);
}
CASE(copy_under_way) { ends(2, true); }
CASE(own_copy_under_way) { ends(1, false); }

__global__ void twice_kernel(float* out) {
    cluster_arrive();
    if (threadIdx.x == 7) cluster_arrive();  // -> arrives_twice
    cluster_wait();
    out[0] = 1;
}
CASE(arrives_twice) { launch_clusters(twice_kernel, 2, 2, 32, 0, nullptr, out); }

__global__ void waits_kernel(float* out) {
    cluster_wait();  // -> waits_without_arrival
    out[0] = 1;
}
CASE(waits_without_arrival) { launch_clusters(waits_kernel, 2, 2, 32, 0, nullptr, out); }

__global__ void one_fails_kernel(float* out) {
    if (blockIdx.x == 5 && threadIdx.x == 3) {
        out[1 << 17] = 1;  // -> one_fails
    }
    cluster_sync();
}
CASE(one_fails) { launch_clusters(one_fails_kernel, 16, 4, 32, 0, nullptr, out); }

__global__ void outside_kernel(float* out, int bytes) {
    DYNAMIC_SHARED(char, memory);
    cluster_sync();
    out[0] = float(load_cluster(map_to_rank(memory, 0) + bytes));  // -> cluster_misaligned // -> cluster_outside
    cluster_sync();
}
CASE(cluster_misaligned) { launch_clusters(outside_kernel, 2, 2, 32, 1024, nullptr, out, 2); }
CASE(cluster_outside) { launch_clusters(outside_kernel, 2, 2, 32, 1024, nullptr, out, 1024); }

CASE(broken_cluster) { launch_clusters(ranks_kernel, 5, 2, 32, 0, nullptr, out); }
CASE(large_cluster) { launch_clusters(ranks_kernel, 18, 9, 32, 0, nullptr, out); }
CASE(empty_cluster) { launch_clusters(ranks_kernel, 4, dim3(1, 0, 1), 32, 0, nullptr, out); }
