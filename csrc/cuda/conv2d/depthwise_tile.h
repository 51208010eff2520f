// The tiles of `depthwise`: the results a block makes, and the pixels of the image they meet, kept in shared memory.
#pragma once
#include "parts.h"

namespace tg::conv2d {

// Along one dimension: pixel number s of the tile lies `low + s * every` after the place of tap 0 of the block's first result, and
// result o meets with tap i number `first + o * step + i * tap`.
struct Reach {
    int results, count;  // of a tile; pixels it keeps
    int low, every, first, step, tap;

    Reach(const Line& line, int r) : results(r) {
        const int apart = std::abs(line.tap), span = std::max(0, line.taps - 1);
        low = std::min(0, span * line.tap);
        const bool alone = results == 1;  // of pixels that dilation skips none is kept
        every = alone ? std::max(1, apart) : 1;
        step = alone ? 0 : line.step;
        tap = alone ? (line.tap < 0 ? -1 : 1) : line.tap;
        first = -std::min(0, span * tap);
        count = line.taps ? (results - 1) * step + span * std::abs(tap) + 1 : 0;
    }
};

// Neighbours in memory are pixels of a row, or, with the channels last, channels. A block takes `wide` channels (one, or a sector of 32
// bytes) and a tile of `y` x `x` results of them, in `packed` images or planes at once where these are small.
struct Tiling {
    static constexpr int THREADS = 256, ROOM = 40 << 10;  // bytes: five blocks a multiprocessor
    int wide, chunks, packed, down, across;               // chunks: of channels; down, across: tiles of a plane
    Reach y{{}, 1}, x{{}, 1};

    __host__ __device__ int tile() const { return y.count * x.count * wide; }  // elements of one channel for each of `wide`
    __host__ __device__ int tiles() const { return down * across; }
    dim3 block() const {
        int columns = 1;
        while (columns < std::min({x.results, 32, THREADS / wide}) || THREADS / wide / columns > 64) columns *= 2;
        return dim3(unsigned(wide), unsigned(columns), unsigned(THREADS / wide / columns));
    }
};

// The tiling that fetches least. A thread computes `each` results of a column, `kept` elements of each channel lie beside its tile.
template <class T> Tiling tiling(const Problem<T>& p, int each, int kept, int units) {
    constexpr int SECTOR = 32 / sizeof(T);
    const auto up = [&](int n) { return ceil_div(n, each) * each; };
    Tiling best{};
    double least = -1;
    for (int wide : {p.image.group == 1 && p.image.stride[3] != 1 && p.groups > 1 ? SECTOR : 1, 1}) {
        for (int right = p.x.grid;; right = ceil_div(right, 2)) {
            for (int rows = up(p.y.grid);; rows = rows > each ? up(rows / 2) : 1) {
                const int down = ceil_div(p.y.grid, rows), across = ceil_div(p.x.grid, right);
                const Tiling t{wide, ceil_div(p.groups, wide), 1, down, across, Reach(p.y, rows), Reach(p.x, right)};
                const int64_t bytes = (int64_t(p.channels) * t.y.count * t.x.count + kept) * wide * sizeof(T);
                const double edge = wide == 1 && t.across > 1 ? SECTOR : 0;  // a row that begins inside a sector
                const double fetched = double(t.tiles()) * t.y.count * (t.x.count + edge) + 1e-3 * t.tiles();
                if (bytes <= Tiling::ROOM && (least < 0 || fetched < least)) {
                    least = fetched;
                    best = t;
                    const int busy = std::min(units, ceil_div(int(t.block().z), rows / std::min(each, rows)));
                    if (t.tiles() == 1) best.packed = std::clamp(int(Tiling::ROOM / std::max<int64_t>(bytes, 1)), 1, std::max(busy, 1));
                }
                if (rows == 1) break;
            }
            if (right == 1) break;
        }
        if (least >= 0) return best;
    }
    throw std::invalid_argument("the taps of one result do not fit into shared memory; v00_direct takes them");
}

// Images (or planes) `first` and on of channels `group`, `group` + 1, ... around result (y0, x0), into (packed, channels, y, x, wide).
// place(unit, n, group) says whether a unit exists, and of which image and channel this thread's part is.
template <class T, class F>
__device__ void stage(T* to, const Problem<T>& p, const Tiling& t, int first, int y0, int x0, F&& place) {
    for (int r = threadIdx.z; r < t.packed * p.channels * t.y.count; r += blockDim.z) {
        const int row = r % t.y.count, c = r / t.y.count % p.channels;
        int n = 0, group = 0;
        const bool there = place(first + r / t.y.count / p.channels, n, group);
        const int y = p.y.at(y0, 0) + t.y.low + row * t.y.every, left = p.x.at(x0, 0) + t.x.low;
        const T* from = p.image.at(n, c, y, 0) + group * p.image.group;
        for (int column = threadIdx.y; column < t.x.count; column += blockDim.y) {
            const int x = left + column * t.x.every;
            const bool inside = there && p.y.inside(y) && p.x.inside(x);
            to[(r * t.x.count + column) * t.wide + threadIdx.x] = inside ? from[x * p.image.stride[3]] : T(0.0f);
        }
    }
}

}  // namespace tg::conv2d
