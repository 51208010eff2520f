// The idea: scores are never stored. A block of queries meets one block of keys after the other and keeps, per query, the largest
// score so far, the sum of the weights relative to it and the weighted sum of values, rescaled when the largest grows (online softmax).
// Before it (v00): L S scores went through memory four times; now q, k, v and out once, but for keys re-read per tile of queries.
// Ownership: thread (x, y) of 16 x 16 owns SIDE / 16 rows of queries; of their scores every 16th, of the output four columns in 64.
// Bottleneck: shared memory and the fp32 units; tensor cores would do the same products sixteen at a time.
// Measure: python benchmarks/ladder.py attention v01_flash (emulated time)
#include "flash_tile.h"

namespace tg::attention {

template <class T, int D>
__global__ void __launch_bounds__(256, sizeof(T) == 4 && D == 128 ? 3 : 2)  // dropout shall not cost a resident block
    attention_flash(const __grid_constant__ Problem<T> p, Heads<T> out, T* lse) {
    using Tile = FlashTile<T, D>;
    constexpr int R = Tile::R;
    DYNAMIC_SHARED(T, Q);
    T *const K = Q + Tile::SIZE, *const V = K + Tile::SIZE, *const weights = V + Tile::SIZE;
    const Tile tile;
    const auto [b, h, first] = place_of_block<Tile::SIDE>(p.heads, p.batch, p.queries);
    Tile::load(Q, p.q, b, h, first, p.queries, p.width);
    typename Tile::Result sum_of_values = {};
    T top[R], sum[R];
#pragma unroll
    for (int i = 0; i < R; ++i) top[i] = T(-INFINITY), sum[i] = 0;

    const int last = p.causal ? min(p.keys, first + Tile::SIDE) : p.keys;  // the later keys nobody here may see
    for (int j0 = 0; j0 < last; j0 += Tile::SIDE) {
        __syncthreads();  // nobody reads the tiles of the step before any more
        Tile::load(K, p.k, b, h / p.group, j0, p.keys, p.width);
        Tile::load(V, p.v, b, h / p.group, j0, p.keys, p.value_width);
        __syncthreads();
        typename Tile::Scores s;
        tile.dots(s, Q, K, p.width);
#pragma unroll
        for (int i = 0; i < R; ++i) {
            T now = top[i];
#pragma unroll
            for (int j = 0; j < R; ++j) {
                s[i][j] = p.score(s[i][j], b, h, first + tile.row(i), j0 + tile.column(j));
                now = s[i][j] > now ? s[i][j] : now;
            }
#pragma unroll
            for (int lanes = 8; lanes > 0; lanes /= 2) {
                const T other = __shfl_xor_sync(~0u, now, lanes);
                now = other > now ? other : now;
            }
            const T base = now == T(-INFINITY) ? T(0) : now;  // nothing seen yet: all weights are 0
            const T shrink = power_of_two(top[i] - base);
            top[i] = now;
            sum[i] *= shrink;
#pragma unroll
            for (int j = 0; j < R; ++j) {
                s[i][j] = power_of_two(s[i][j] - base);
                sum[i] += s[i][j];  // of this lane's columns; the lanes come together at the end
            }
#pragma unroll
            for (int c = 0; c < Tile::C; ++c)
#pragma unroll
                for (int d = 0; d < 4; ++d) sum_of_values[i][c][d] *= shrink;
        }
        const FlashKeptByRow<Tile> kept(p, tile, b, h, first, j0);
#pragma unroll
        for (int i = 0; i < R; ++i)
#pragma unroll
            for (int j = 0; j < R; ++j) s[i][j] = kept.at(i, j) ? s[i][j] : T(0);  // after the sum: dropout is of the softmax
        tile.put(weights, s);
        tile.accumulate(sum_of_values, weights, V, p.value_width);
    }

    T inverse[R];
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
        for (int lanes = 8; lanes > 0; lanes /= 2) sum[i] += __shfl_xor_sync(~0u, sum[i], lanes);
        inverse[i] = sum[i] == 0 ? T(0) : p.factor / sum[i];  // a query that sees nothing gets zeros
        if (tile.x == 0 && first + tile.row(i) < p.queries)
            lse[p.number(b, h, first + tile.row(i))] = (top[i] + logarithm(sum[i])) * T(LN2);
    }
    tile.store(out, b, h, first, p.queries, p.value_width, sum_of_values, inverse);
}

template <class T, int D> void run_flash(const Problem<T>& p, Array& out, Array& lse) {
    using Tile = FlashTile<T, D>;
    if (!p.rows()) return;
    constexpr size_t SHARED = (3 * Tile::SIZE + Tile::WEIGHTS) * sizeof(T);
    const unsigned grid = blocks(int64_t(p.batch) * p.heads * ceil_div(p.queries, Tile::SIDE));
    launch(attention_flash<T, D>, grid, Tile::THREADS, SHARED, current_stream, p, Heads<T>(out), lse.ptr<T>());
}

void flash(Array& out, Array& lse, const Array& q, const Array& k, const Array& v, const Array& mask, int64_t causal, double scale,
           int64_t seed, int64_t first_block, int64_t limit, double factor) {
    const Draw draw{seed, first_block, limit, factor};
    const auto problem = [&]<class T>() { return problem_of<T>(q, k, v, mask, causal, scale, draw); };
    const int64_t width = std::max(q.shape[3], v.shape[3]);
    if (q.dtype == DType::float64)
        return by_width<64, 128>(width, [&](auto d) { run_flash<double, d>(problem.template operator()<double>(), out, lse); });
    by_width<64, 128, 256>(width, [&](auto d) { run_flash<float, d>(problem.template operator()<float>(), out, lse); });
}

TG_KERNEL(attention, "cuda/v01_flash", "float32 float64", flash, Chips{80})

}  // namespace tg::attention
