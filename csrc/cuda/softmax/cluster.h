// Rows that are shared by the blocks of a cluster: who has which part, what of it fits into shared memory, how large a cluster is.
//
// A block's part is `part` neighbours; a thread has the same steps of W elements in every sweep, so that what it kept it reads itself.
#pragma once
#include "../../device/cluster_reduce.cuh"
#include "../../device/packs.cuh"
#include "online.h"

namespace tg::softmax {

constexpr int CLUSTER_THREADS = 512, LARGEST_CLUSTER = 8;  // larger clusters than 8 are not on every chip
constexpr int64_t WORTH = 32 * 1024, ROOM = 192 * 1024;    // bytes of a part: what a block should have to do, what it has room for

struct Parts {
    int cluster, part;
    bool held;  // in shared memory, between the sweep that sums and the sweep that writes

    // For rows of n elements of which `bytes` each are to be kept, in steps of `step` elements.
    Parts(int n, int64_t bytes, int step) : cluster(2) {
        while (cluster < LARGEST_CLUSTER && n * bytes > cluster * WORTH) cluster *= 2;
        const int64_t even = (int64_t(n) + cluster - 1) / cluster;
        part = int((even + step - 1) / step) * step;
        held = part * bytes <= ROOM;
    }
};

// The part of a row that this block has: elements first to last.
struct Own {
    int64_t row;
    int first, last;

    __device__ Own(const Parts& p, int n) : row(blockIdx.x / p.cluster), first(int(device::cluster_rank()) * p.part), last(first + p.part) {
        if (last > n) last = n;
    }
    __device__ int start(int w) const { return first + int(threadIdx.x) * w; }
};

// Launches a kernel for packs of 16 bytes or for single elements, of which `bytes` each are to be kept, unless nothing is.
template <class T, class Kernel, class P>
void launch_cluster(Kernel packs, Kernel singles, const Rows<T>& r, int64_t bytes, bool keeps, const P& p) {
    Parts parts(r.n, bytes, device::PACK<T>);
    parts.held = parts.held && keeps;
    const dim3 grid = device::blocks_for(r.rows * parts.cluster, 1);
    launch_clusters(r.packed ? packs : singles, grid, parts.cluster, CLUSTER_THREADS, parts.held ? size_t(parts.part) * bytes : 0, current_stream, p, parts);
}

}  // namespace tg::softmax
