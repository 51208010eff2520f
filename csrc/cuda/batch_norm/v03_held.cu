// The idea: a group is read once, 16 bytes at a time, and stays in its block's shared memory until its results are written.
// Before it (v01): every element was read twice, one at a time, and its channel found by a division.
// Ownership: team t of a block (32 lanes, fewer for short segments) has every so many of the group's segments, or slices of them.
// Bottleneck: memory bandwidth, x and y once up to 56 kB a group (backward g, x and dx); what does not fit is read twice. Few groups idle the chip.
// Measure: tensorgrad lab batch_norm cuda/v03_held
#include "held.h"

namespace tg::batch_norm {

namespace {

constexpr int64_t ROOM = 56 * 1024;  // four blocks on a chip of 9.0, two on one of 8.0, one on one of 7.5

}  // namespace

template <class T, int W>
__global__ void __launch_bounds__(THREADS, 1) norm_block(const __grid_constant__ Forward<T> p, const __grid_constant__ Held h) {
    DYNAMIC_SHARED(T, shared);
    norm_held<T, W, false>(p, h, shared);
}

template <class T, int W>
__global__ void __launch_bounds__(THREADS, 1) norm_block_backward(const __grid_constant__ Backward<T> p, const __grid_constant__ Held h) {
    DYNAMIC_SHARED(T, shared);
    norm_held_backward<T, W, false>(p, h, shared);
}

struct Block {
    template <class T, int W> static void forward(const Forward<T>& p) {
        const Held h(p.shape, W, sizeof(T), THREADS, 1, ROOM, false);
        launch(norm_block<T, W>, device::blocks_for(p.shape.groups, 1), h.threads, h.shared, current_stream, p, h);
    }
    template <class T, int W> static void backward(const Backward<T>& p) {
        const Held h(p.shape, W, 2 * sizeof(T), THREADS, 1, ROOM, true);
        launch(norm_block_backward<T, W>, device::blocks_for(p.shape.groups, 1), h.threads, h.shared, current_stream, p, h);
    }
};

BATCH_NORM_RUNG("cuda/v03_held", Packed<Block>)

}  // namespace tg::batch_norm
