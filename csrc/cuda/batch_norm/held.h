// A group that its blocks keep in shared memory between the pass that sums it and the pass that writes it: who has what of it, and the
// kernels. One block (v03) or a cluster of them (v04) has a group.
//
// A group is `segments`, rows of S neighbours: the images of a channel for batch_norm, the channels of a group for group_norm. A segment is
// walked in units of W elements, 16 bytes where they lie so, by `lanes` threads side by side, a team; a long one by several teams, a slice
// each. A thread meets the same units in both passes, and reads what it kept itself. What does not fit it fetches again.
#pragma once
#include <algorithm>

#include "../../device/cluster_reduce.cuh"
#include "../../device/packs.cuh"
#include "groups.h"

namespace tg::batch_norm {

struct Held {
    int cluster = 1;  // blocks that share a group
    int threads = 32;  // of a block: two units each, if there are as many
    int segments, length, lanes = 32, slices, kept;  // units of a segment; threads of a team; teams of a segment; units a thread keeps
    bool one_channel;  // a group lies in one channel, whose weight is a factor of its sums
    bool by_units;     // blocks share each segment, else the segments
    int64_t apart;     // elements from one segment to the next
    size_t shared;     // bytes that a block keeps

    // For units of w elements of `bytes` each, in all arrays that are kept. `whole`: sums are needed of each channel, and so in one block.
    Held(const Shape& s, int w, int64_t bytes, int most_threads, int most_blocks, int64_t room, bool whole)
        : segments(int(s.per ? s.per : s.N)), length(int(s.S / w)), one_channel(s.per <= 1), apart(s.per ? s.S : s.C * s.S) {
        constexpr int64_t BLOCKS = 512, WORTH = 16 * 1024;  // blocks worth having; bytes that are worth a block
        while (cluster < most_blocks && s.count * bytes > cluster * (s.groups * cluster < BLOCKS ? WORTH : room)) cluster *= 2;
        while (lanes > 1 && lanes / 2 >= length) lanes /= 2;
        whole = whole && !one_channel;
        by_units = !whole && segments < 4 * cluster && length >= 32 * cluster;
        while (!by_units && cluster > segments) cluster /= 2;
        const int of_segments = by_units ? segments : (segments + cluster - 1) / cluster, of_units = by_units ? (length + cluster - 1) / cluster : length;
        while (threads < most_threads && int64_t(of_segments) * of_units > 2 * threads) threads *= 2;
        const int teams = threads / lanes;
        slices = std::max(1, std::min(teams / of_segments, of_units / lanes));
        const int items = (of_segments * slices + teams - 1) / teams, units = ((of_units + slices - 1) / slices + lanes - 1) / lanes;
        kept = int(std::min<int64_t>(int64_t(items) * units, room / (threads * w * bytes)));
        shared = size_t(kept) * threads * w * bytes;
    }
};

template <bool CLUSTER> __device__ inline unsigned rank_of_block() {
    if constexpr (CLUSTER) return device::cluster_rank();
    else return 0;
}

template <bool CLUSTER, class V, class Merge> __device__ V merged(V value, V nothing, Merge merge) {
    if constexpr (CLUSTER) return device::cluster_reduce(value, nothing, merge);
    else return device::block_reduce(value, nothing, merge);
}

// A thread's units of its group: begin(segment), then for each unit, its N arrays of W elements, load(values, k, at) and use(values, k, at),
// then end(segment, there). Every lane of a warp begins and ends as often; not `there`: without a segment.
template <int N, int W, class A, bool CLUSTER, class Begin, class Load, class Use, class End>
__device__ __forceinline__ void walk(const Held& h, int64_t base, Begin begin, Load load, Use use, End end) {
    constexpr int STEP = N * W * sizeof(A) >= 32 || sizeof(A) > 4 ? 2 : 4;  // units in flight
    const int lane = int(threadIdx.x) % h.lanes, team = int(threadIdx.x) / h.lanes, teams = int(blockDim.x) / h.lanes;
    const int64_t rank = rank_of_block<CLUSTER>(), blocks = h.cluster;
    const int first = h.by_units ? 0 : int(h.segments * rank / blocks), last = h.by_units ? h.segments : int(h.segments * (rank + 1) / blocks);
    const int left = h.by_units ? int(h.length * rank / blocks) : 0, right = h.by_units ? int(h.length * (rank + 1) / blocks) : h.length;
    int k = 0;
    for (int item = 0; item < (last - first) * h.slices; item += teams) {
        const int own = item + team, segment = first + own / h.slices, slice = own % h.slices;
        const bool there = segment < last;
        const int stop = there ? left + int(int64_t(right - left) * (slice + 1) / h.slices) : 0;
        const int64_t start = base + segment * h.apart;
        begin(there ? segment : first);
        int u = left + int(int64_t(right - left) * slice / h.slices) + lane;
        for (; u < stop; u += STEP * h.lanes) {
            A values[STEP][N][W] = {};
#pragma unroll
            for (int i = 0; i < STEP; ++i)
                if (u + i * h.lanes < stop) load(values[i], k + i, start + int64_t(u + i * h.lanes) * W);
#pragma unroll
            for (int i = 0; i < STEP; ++i)
                if (u + i * h.lanes < stop) use(values[i], k++, start + int64_t(u + i * h.lanes) * W);
        }
        end(segment, there);
    }
}

template <class T, int W, bool CLUSTER>
__device__ __forceinline__ void norm_held(const Forward<T>& p, const Held& h, T* shared) {
    using A = Wide<T>;
    const Shape& s = p.shape;
    const int64_t group = blockIdx.x / h.cluster, base = s.at(group, 0), channel = s.channel(group, 0);
    const A shift = static_cast<A>(p.x[base]);
    T* const kept = shared + threadIdx.x * W;
    auto moments = device::Moments<A>::nothing();
    const auto ignore = [](int, bool) {};
    walk<1, W, A, CLUSTER>(
        h, base, [](int) {}, [&](A(&v)[1][W], int, int64_t at) { device::read<W>(v[0], p.x + at); },
        [&](A(&v)[1][W], int k, int64_t) {
            if (k < h.kept) device::write<W>(kept + int64_t(k) * blockDim.x * W, v[0]);
#pragma unroll
            for (A& one : v[0]) one -= shift;
            moments.add(v[0]);
        },
        ignore);
    moments = merged<CLUSTER>(moments, device::Moments<A>::nothing(), device::MergeMoments{});
    const double mean = double(shift) + double(moments.mean);
    if (threadIdx.x == 0 && rank_of_block<CLUSTER>() == 0) p.keep(group, mean, double(moments.variance()));
    const device::Split<A> m(mean);
    const A rstd = A(1) / std::sqrt(moments.variance() + A(p.eps));
    A weight = 1, bias = 0;
    walk<1, W, A, CLUSTER>(
        h, base,
        [&](int segment) {
            const int64_t c = s.per ? channel + segment : channel;
            if (p.weight) weight = p.weight[c];
            if (p.bias) bias = p.bias[c];
        },
        [&](A(&v)[1][W], int k, int64_t at) { device::read<W>(v[0], k < h.kept ? kept + int64_t(k) * blockDim.x * W : p.x + at); },
        [&](A(&v)[1][W], int, int64_t at) {
#pragma unroll
            for (A& one : v[0]) one = ((one - m.high) - m.low) * rstd * weight + bias;
            device::write<W>(p.y + at, v[0]);
        },
        ignore);
}

template <class T, int W, bool CLUSTER>
__device__ __forceinline__ void norm_held_backward(const Backward<T>& p, const Held& h, T* shared) {
    using A = Wide<T>;
    __shared__ Pair<A> of_item[MOST_THREADS / 32];
    const Shape& s = p.shape;
    const int64_t group = blockIdx.x / h.cluster, base = s.at(group, 0), channel = s.channel(group, 0);
    const device::Split<A> m(p.mean[group]);
    const A rstd = A(p.rstd[group]), n = A(s.count);
    T* const kept = shared + threadIdx.x * W;
    const bool columns = p.dweight || p.dbias, summed = p.training || columns;
    const auto leave = [&](int64_t c, const Pair<A>& sums) { p.leave(group * s.per / s.C, c, sums); };
    const auto fetch = [&](A(&v)[2][W], int64_t at) {
        device::read<W>(v[0], p.g + at);
        for (A& one : v[1]) one = A(0);
        if (summed) device::read<W>(v[1], p.x + at);
    };
    A weight = 1;
    const auto begin = [&](int segment) { weight = p.weight_of(s.per ? channel + segment : channel); };
    Pair<A> sums{A(0), A(0)}, item{A(0), A(0)};
    if (summed) {
        walk<2, W, A, CLUSTER>(
            h, base, begin, [&](A(&v)[2][W], int, int64_t at) { fetch(v, at); },
            [&](A(&v)[2][W], int k, int64_t) {
                if (k < h.kept) {
                    device::write<W>(kept + int64_t(k) * 2 * blockDim.x * W, v[0]);
                    device::write<W>(kept + (int64_t(k) * 2 + 1) * blockDim.x * W, v[1]);
                }
#pragma unroll
                for (int i = 0; i < W; ++i) item = AddPairs{}(item, {v[0][i], v[0][i] * (((v[1][i] - m.high) - m.low) * rstd)});
            },
            [&](int segment, bool there) {
                const A factor = h.one_channel ? A(1) : weight;
                sums = AddPairs{}(sums, {factor * item.total, factor * item.dot});
                if (columns && !h.one_channel) {
                    for (int across = h.lanes / 2; across > 0; across /= 2) item = AddPairs{}(item, device::from_lane_across(item, across));
                    if (there && threadIdx.x % h.lanes == 0) {
                        if (h.slices == 1) leave(channel + segment, item);
                        else of_item[threadIdx.x / 32] = item;
                    }
                }
                item = {A(0), A(0)};
            });
        sums = merged<CLUSTER>(sums, Pair<A>{A(0), A(0)}, AddPairs{});
        if (columns && !h.one_channel && h.slices > 1) {  // a team a slice: of_item is there, as merging met at barriers
            const int64_t rank = rank_of_block<CLUSTER>();
            const int first = int(h.segments * rank / h.cluster), there = int(h.segments * (rank + 1) / h.cluster) - first;
            if (int(threadIdx.x) < there) {
                Pair<A> all{A(0), A(0)};
                for (int i = 0; i < h.slices; ++i) all = AddPairs{}(all, of_item[threadIdx.x * h.slices + i]);
                leave(channel + first + threadIdx.x, all);
            }
        }
        if (h.one_channel && threadIdx.x == 0 && rank_of_block<CLUSTER>() == 0) leave(channel, sums);
    }
    if (!p.dx) return;
    const A factor = h.one_channel ? rstd * p.weight_of(channel) : rstd, average = p.training ? sums.total / n : A(0), slope = p.training ? sums.dot / n : A(0);
    walk<2, W, A, CLUSTER>(
        h, base, begin,
        [&](A(&v)[2][W], int k, int64_t at) {
            if (k < h.kept && summed) {
                device::read<W>(v[0], kept + int64_t(k) * 2 * blockDim.x * W);
                device::read<W>(v[1], kept + (int64_t(k) * 2 + 1) * blockDim.x * W);
            } else {
                fetch(v, at);
            }
        },
        [&](A(&v)[2][W], int, int64_t at) {
#pragma unroll
            for (int i = 0; i < W; ++i) {
                A gw = h.one_channel ? v[0][i] : v[0][i] * weight;
                if (p.training) gw -= average + ((v[1][i] - m.high) - m.low) * rstd * slope;
                v[0][i] = gw * factor;
            }
            device::write<W>(p.dx + at, v[0]);
        },
        [](int, bool) {});
}

// Inference: a thread per pack of 16 bytes, or per element. Threads go on by a whole grid, so that rows are counted, not divided for.
template <class T, int W> __global__ void __launch_bounds__(THREADS) norm_inference_packs(const __grid_constant__ Forward<T> p) {
    using A = Wide<T>;
    const int64_t length = p.shape.S / W, units = p.shape.N * p.shape.C * length, step = int64_t(gridDim.x) * THREADS;
    const int64_t rows = step / length, rest = step % length;
    int64_t u = int64_t(blockIdx.x) * THREADS + threadIdx.x, row = u / length, left = length - u % length, c = row % p.shape.C;
    const int64_t channels = rows % p.shape.C;
    for (; u < units; u += step) {
        const device::Split<A> m(p.mean[c]);
        const A rstd = A(p.rstd[c]), weight = p.weight ? p.weight[c] : A(1), bias = p.bias ? p.bias[c] : A(0);
        A v[W];
        device::read<W>(v, p.x + u * W);
#pragma unroll
        for (A& one : v) one = ((one - m.high) - m.low) * rstd * weight + bias;
        device::write<W>(p.y + u * W, v);
        c += channels;
        left -= rest;
        if (left <= 0) left += length, ++c;
        if (c >= p.shape.C) c -= p.shape.C;
    }
}

// What v03 and v04 launch: Rung::forward<T, W>() and backward<T, W>() start their kernels.
template <class Rung> struct Packed {
    template <class T> static void solve(const Forward<T>& p) {
        by_width<T>(p.shape.S, {p.x, p.y}, [&]<int W>() {
            const int64_t units = p.shape.N * p.shape.C * p.shape.S / W;
            const int64_t blocks = std::min<int64_t>((units + THREADS - 1) / THREADS, 8 * multiprocessors());
            if (p.training) Rung::template forward<T, W>(p);
            else launch(norm_inference_packs<T, W>, unsigned(blocks), THREADS, 0, current_stream, p);
        });
    }
    template <class T> static void solve(const Backward<T>& p) {
        by_width<T>(p.shape.S, {p.x, p.g, p.dx}, [&]<int W>() { Rung::template backward<T, W>(p); });
        add_samples(p);
    }
};

}  // namespace tg::batch_norm
