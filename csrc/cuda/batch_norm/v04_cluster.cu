// The idea: a group too large for a block, or one of few, is shared by a cluster of blocks, whose sums meet in distributed shared memory.
// Before it (v03): one block had a group, however large it was, and however few of them there were.
// Ownership: block r of a group's cluster has the r-th part of its segments, or of each segment; within the block as there.
// Bottleneck: memory bandwidth, x and y once up to 8 x 112 kB a group (backward g, x and dx); what does not fit is read twice.
// Measure: tensorgrad lab batch_norm cuda/v04_cluster
#include "held.h"

namespace tg::batch_norm {

template <class T, int W>
__global__ void __launch_bounds__(MOST_THREADS, 1) norm_cluster(const __grid_constant__ Forward<T> p, const __grid_constant__ Held h) {
#ifndef TG_NO_HOPPER
    DYNAMIC_SHARED(T, shared);
    norm_held<T, W, true>(p, h, shared);
#endif
}

template <class T, int W>
__global__ void __launch_bounds__(MOST_THREADS, 1) norm_cluster_backward(const __grid_constant__ Backward<T> p, const __grid_constant__ Held h) {
#ifndef TG_NO_HOPPER
    DYNAMIC_SHARED(T, shared);
    norm_held_backward<T, W, true>(p, h, shared);
#endif
}

struct Cluster {
    template <class T, int W> static void forward(const Forward<T>& p) {
        const Held h(p.shape, W, sizeof(T), MOST_THREADS, LARGEST_CLUSTER, CLUSTER_ROOM, false);
        launch_clusters(norm_cluster<T, W>, device::blocks_for(p.shape.groups * h.cluster, 1), h.cluster, h.threads, h.shared, current_stream, p, h);
    }
    template <class T, int W> static void backward(const Backward<T>& p) {
        const Held h(p.shape, W, 2 * sizeof(T), MOST_THREADS, LARGEST_CLUSTER, CLUSTER_ROOM, true);
        launch_clusters(norm_cluster_backward<T, W>, device::blocks_for(p.shape.groups * h.cluster, 1), h.cluster, h.threads, h.shared, current_stream, p, h);
    }
};

BATCH_NORM_RUNG("cuda/v04_cluster", Packed<Cluster>, Chips{90, 99})

}  // namespace tg::batch_norm
