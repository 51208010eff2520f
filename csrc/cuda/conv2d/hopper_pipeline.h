// What the kernels of v04 share: stages of shared memory that one thread fills by TMA and two warpgroups multiply from, and the maps of
// images by which TMA gathers.
#pragma once
#include "../matmul/hopper_tile.h"
#include "channels_last.h"

namespace tg::conv2d {

using matmul::hopper::BK;
using matmul::hopper::BOX;
using matmul::hopper::Raster;

constexpr int BM = 128, STAGES = 4, THREADS = 3 * 128, CONSUMER_WARPS = 8;

// A stage holds two boxes of A (64 rows for each warpgroup) and BN / 64 of B. Steps are counted on from tile to tile: they say which
// stage and which phase.
template <class T, int BN> struct Pipeline {
    static constexpr int STAGE = (BM + BN) / 64 * BOX;  // elements
    T* stages;
    uint64_t *full, *empty;
    int step = 0;

    // By all threads of the block.
    __device__ Pipeline(T* stages, uint64_t* full, uint64_t* empty) : stages(stages), full(full), empty(empty) {
        if (threadIdx.x == 0) {
            for (int s = 0; s < STAGES; ++s) {
                device::mbarrier_init(&full[s], 1);
                device::mbarrier_init(&empty[s], CONSUMER_WARPS);
            }
            device::fence_mbarrier_init();
        }
        __syncthreads();
    }

    // The producer: waits for a free stage and calls fill(A, B, barrier), which starts the copies of all its bytes.
    template <class F> __device__ void produce(F&& fill) {
        const int s = step % STAGES;
        device::mbarrier_wait(&empty[s], (step / STAGES + 1) % 2);  // the first time round at once
        device::mbarrier_arrive_expect(&full[s], STAGE * sizeof(T));
        fill(stages + s * STAGE, stages + s * STAGE + BM / 64 * BOX, &full[s]);
        ++step;
    }

    // A consumer warpgroup: adds up the products of `steps` stages.
    template <int TA, int TB> __device__ void consume(float (&sum)[BN / 2], int steps, int warpgroup, int lane) {
        const auto free = [&](int s) {
            if (lane == 0) device::mbarrier_arrive(&empty[s % STAGES]);
        };
        for (const int last = step + steps; step < last; ++step) {
            const T* A = stages + step % STAGES * STAGE;
            device::mbarrier_wait(&full[step % STAGES], step / STAGES % 2);
            matmul::hopper::multiply_stage<TA, TB>(sum, A + warpgroup * BOX, A + BM / 64 * BOX);
            device::wgmma_wait<1>();  // the step before is done: its stage is free
            if (step > last - steps) free(step - 1);
        }
        device::wgmma_wait<0>();
        if (steps) free(step - 1);
    }
};

// Where the first tap of a patch lies, and how far from it tap i does: TMA's offsets count forwards only, and for the gradient of the
// input taps go backwards.
__host__ __device__ inline int low(const Line& l) { return l.from + (l.tap < 0 ? (l.taps - 1) * l.tap : 0); }
__device__ inline unsigned offset(const Line& l, int i) { return unsigned(l.from + i * l.tap - low(l)); }

// A map by which TMA gathers `pixels` pixels a copy from images whose patches `y` and `x` describe.
template <class T> CUtensorMap map_of_images(const Strided<T>& s, int N, int channels, const Line& y, const Line& x, unsigned pixels) {
    // What lies at steps of a dimension of size 1 is never fetched; TMA wants them to be in order all the same.
    const int64_t right = x.image == 1 ? channels : s.stride[3], down = y.image == 1 ? x.image * right : s.stride[2];
    const int64_t next = N == 1 ? y.image * down : s.stride[0];
    const bool in_order = right >= channels && down >= x.image * right && next >= y.image * down;
    if (s.stride[1] != 1 || !in_order || (channels | right | down | next) % 8 || reinterpret_cast<uintptr_t>(s.data) % 16)
        throw std::invalid_argument("TMA gathers from images with the channels last in memory, in groups of 16 bytes");
    const auto patches = [](const Line& l, int64_t stride) {
        return device::Patches{l.image, stride, low(l), low(l) + (l.grid - 1) * l.step, l.step};
    };
    return device::im2col_map(s.data, channels, patches(x, right), patches(y, down), N, next, pixels);
}

inline Line as_it_is(int length) { return {length, length, 1, 1, 0, 0}; }  // a patch is a pixel

// A map of the weights as a matrix, (rows, taps channels); where they do not lie so they are turned into the workspace first.
template <class T> CUtensorMap map_of_weights(Problem<T>& p, Array& space, int box_rows) {
    auto& s = p.weight.stride;
    if (p.y.taps == 1) s[2] = 0;
    if (p.x.taps == 1) s[3] = 0;
    const int64_t columns = (p.y.taps - 1) * s[2] + (p.x.taps - 1) * s[3] + p.channels;
    const bool flat = s[1] == 1 && s[2] >= 0 && s[3] >= 0 && (p.rows == 1 || s[0] >= columns) && (s[0] | s[2] | s[3]) % 8 == 0;
    if (flat && reinterpret_cast<uintptr_t>(p.weight.data) % 16 == 0)
        return device::tensor_map(p.weight.data, p.rows, columns, p.rows == 1 ? columns : s[0], box_rows);
    if (!turned(p, space)) throw std::invalid_argument("the workspace is too small for the weights; set_workspace_limit allows more");
    return device::tensor_map(p.weight.data, p.rows, p.depth(), p.depth(), box_rows);
}

inline void check_one_group(int groups) {
    if (groups != 1) throw std::invalid_argument("a convolution in groups is for v03_tensor_core");
}

}  // namespace tg::conv2d
