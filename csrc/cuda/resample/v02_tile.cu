// The idea: R x C^T as two products in shared memory, rows first. A block fetches its entries of R and C once, for several planes.
// Before it (v00): each result fetched weights and pixels for itself; a x b entries cost a b products, here a + b.
// Ownership: a block owns 32 x 64 results of some planes, or of many small ones at once; threads own elements of what each step makes.
// Bottleneck: memory bandwidth. Where the pixels of a tile do not fit they are read in place, and the rest as in v00.
// Measure: tensorgrad lab avg_pool2d --kernel v02_tile --shape 1x4x56x56 --option kernel_size=2
#include "../../device/reduce.cuh"
#include "taps.h"

namespace tg::resampling {

namespace {

constexpr int ROWS = 32, COLUMNS = 64, ENTRIES = 512, ROOM = 28 << 10;  // of a tile; of a matrix in a tile; bytes for its pixels and sums

struct Tiles {
    int down, across, packed, rounds;  // planes of a block are `packed` at once, `rounds` times
};

struct Span {
    int low, high;

    __device__ static Span nothing() { return {0x7fffffff, -1}; }
    __device__ int size() const { return max(0, high - low + 1); }
};

// The entries of some rows of a matrix.
template <class S> struct Entries {
    int start[COLUMNS + 1], from[ENTRIES];  // entry e of the matrix is number e - start[0] here
    S weight[ENTRIES];

    // The weighted sum of a row: at(column) is what lies there.
    template <class F> __device__ S sum(int row, F&& at) const {
        S total = 0;
        for (int e = start[row] - start[0]; e < start[row + 1] - start[0]; ++e) total += weight[e] * at(from[e]);
        return total;
    }

    // The columns they lie in. Where they are too many nothing is kept.
    __device__ Span load(const Taps& taps, int begin, int rows) {
        for (int row = threadIdx.x; row <= rows; row += THREADS) start[row] = taps.begin(begin + row);
        __syncthreads();
        const int first = start[0], entries = start[rows] - first;
        Span span = Span::nothing();
        for (int e = threadIdx.x; e < entries; e += THREADS) {
            const int at = taps.from(first + e);
            span = {min(span.low, at), max(span.high, at)};
            if (entries > ENTRIES) continue;
            from[e] = at;
            weight[e] = S(taps.weight(first + e));
        }
        return device::block_reduce(span, Span::nothing(), [](Span a, Span b) {
            return Span{min(a.low, b.low), max(a.high, b.high)};
        });
    }
};

// f(line, column) for all of `lines` x `columns`, neighbouring threads along a line.
template <class F> __device__ void each(int lines, int columns, F&& f) {
    int across = 4;
    while (across < columns && across < 64) across *= 2;
    for (int line = int(threadIdx.x) / across; line < lines; line += THREADS / across)
        for (int column = int(threadIdx.x) % across; column < columns; column += across) f(line, column);
}

}  // namespace

template <class T>
__global__ void __launch_bounds__(THREADS, 1)
    resample_tile(Strided<T> y, Strided<const T> x, Shape out, Taps rows, Taps columns, Tiles t) {
    using S = Sum<T>;
    __shared__ Entries<S> of_rows, of_columns;
    DYNAMIC_SHARED(S, sums);  // (packed, height, wide), then the pixels (packed, high, wide)
    const int tile = int(blockIdx.x) % (t.down * t.across), i0 = tile / t.across * ROWS, j0 = tile % t.across * COLUMNS;
    const int height = min(ROWS, out.H - i0), width = min(COLUMNS, out.W - j0);
    const Span down = of_rows.load(rows, i0, height), along = of_columns.load(columns, j0, width);
    __syncthreads();
    const int high = down.size(), wide = along.size();
    const int64_t of_sums = int64_t(t.packed) * height * wide * sizeof(S), of_pixels = int64_t(t.packed) * high * wide * sizeof(T);
    const int most = max(of_rows.start[height] - of_rows.start[0], of_columns.start[width] - of_columns.start[0]);
    const bool kept = most <= ENTRIES && of_sums <= ROOM, staged = of_sums + of_pixels <= ROOM;
    T* const pixels = reinterpret_cast<T*>(sums + t.packed * height * wide * kept);
    for (int round = 0; round < t.rounds; ++round) {
        const int64_t first = (int64_t(blockIdx.x) / (t.down * t.across) * t.rounds + round) * t.packed;
        const int64_t left = int64_t(out.N) * out.C - first;
        const int planes = int(left < t.packed ? left : t.packed);
        const auto plane = [&](int p) { return x.at((first + p) / out.C, (first + p) % out.C, 0, 0); };
        const auto result = [&](int line, int column) {
            const int64_t p = first + line / height;
            return y.at(p / out.C, p % out.C, i0 + line % height, j0 + column);
        };
        if (planes <= 0) break;
        if (!kept) {
            each(planes * height, width, [&](int line, int column) {
                const T* const from = plane(line / height);
                *result(line, column) = T(weighted_sum<S>(rows, columns, i0 + line % height, j0 + column, [&](int h, int w) {
                    return S(from[h * x.stride[2] + w * x.stride[3]]);
                }));
            });
            continue;
        }
        __syncthreads();  // the round before has read its sums
        if (staged)
            each(planes * high, wide, [&](int line, int column) {
                const T* const from = plane(line / high) + (down.low + line % high) * x.stride[2];
                pixels[line * wide + column] = from[(along.low + column) * x.stride[3]];
            });
        __syncthreads();
        each(planes * height, wide, [&](int line, int column) {
            const int i = line % height, p = line / height;
            const int64_t step = staged ? wide : x.stride[2];
            const T* const top = staged ? pixels + p * high * wide + column
                                        : plane(p) + down.low * step + (along.low + column) * x.stride[3];
            sums[line * wide + column] = of_rows.sum(i, [&](int row) { return S(top[(row - down.low) * step]); });
        });
        __syncthreads();
        each(planes * height, width, [&](int line, int column) {
            const S* const of_line = sums + line * wide - along.low;
            *result(line, column) = T(of_columns.sum(column, [&](int at) { return of_line[at]; }));
        });
    }
}

void tile(Array& y, const Array& x, const Array& row_start, const Array& row_source, const Array& row_weight, const Array& start,
          const Array& source, const Array& weight) {
    by_dtype<float, double, __nv_bfloat16, __half>(y.dtype, [&]<class T>() {
        const Shape out(y);
        if (out.size() == 0) return;
        const int down = ceil_div(out.H, ROWS), across = ceil_div(out.W, COLUMNS);
        const int64_t planes = int64_t(out.N) * out.C, height = std::min(out.H, ROWS), pixels = x.shape[2] * x.shape[3];
        Tiles t{down, across, 1, 1};
        if (down * across == 1) {  // planes of a block: enough to keep its threads busy, as many as there is room for
            const int64_t bytes = height * x.shape[3] * int64_t(sizeof(Sum<T>)) + pixels * int64_t(sizeof(T));
            const int64_t busy = 16 * THREADS / std::min<int64_t>(out.H * out.W, 16 * THREADS);
            t.packed = int(std::clamp<int64_t>(ROOM / std::max<int64_t>(bytes, 1), 1, std::min(planes, busy)));
        }
        t.rounds = int(std::clamp<int64_t>(planes * down * across / t.packed / 256, 1, 8));
        const int64_t groups = (planes + int64_t(t.packed) * t.rounds - 1) / (int64_t(t.packed) * t.rounds);
        launch(resample_tile<T>, blocks_for(groups * down * across, 1), THREADS, ROOM, current_stream, strided<T>(y), strided<const T>(x),
               out, Taps(row_start, row_source, row_weight), Taps(start, source, weight), t);
    });
}

TG_KERNEL(resample, "cuda/v02_tile", "float32 float64 bfloat16 float16", tile)

}  // namespace tg::resampling
