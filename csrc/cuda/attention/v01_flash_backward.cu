// The idea: the backward pass without stored scores. Weights are computed again from q, k and the saved lse, tile by tile, twice: once
// where a tile of queries gathers its dQ, once where a tile of keys gathers dK and dV. No two blocks add to one element.
// Before it: nothing (v00 has no backward pass).
// Ownership: as in the forward pass; in the second kernel the rows are keys and the columns queries, so that both results are owned by row.
// Bottleneck: as in the forward pass, with five products of tiles for its two.
// Measure: python benchmarks/ladder.py attention v01_flash (emulated time)
#include "backward.h"
#include "flash_tile.h"

namespace tg::attention {

template <class T, int D> __global__ void __launch_bounds__(256, 1) attention_flash_dq(const __grid_constant__ Gradient<T> p) {
    using Tile = FlashTile<T, D>;
    constexpr int R = Tile::R;
    DYNAMIC_SHARED(T, Q);
    T *const G = Q + Tile::SIZE, *const K = G + Tile::SIZE, *const V = K + Tile::SIZE, *const weights = V + Tile::SIZE;
    const Tile tile;
    const auto [b, h, first] = place_of_block<Tile::SIDE>(p.heads, p.batch, p.queries);
    Tile::load(Q, p.q, b, h, first, p.queries, p.width);
    Tile::load(G, p.g, b, h, first, p.queries, p.value_width);
    typename Tile::Result dq = {};
    T lse[R], delta[R], scale[R];
#pragma unroll
    for (int i = 0; i < R; ++i) {
        lse[i] = p.statistic(p.lse, b, h, first + tile.row(i));
        delta[i] = p.statistic(p.delta, b, h, first + tile.row(i));
        scale[i] = p.scale * p.factor;
    }
    const int last = p.causal ? min(p.keys, first + Tile::SIDE) : p.keys;
    for (int j0 = 0; j0 < last; j0 += Tile::SIDE) {
        __syncthreads();  // nobody reads the tiles of the step before any more
        Tile::load(K, p.k, b, h / p.group, j0, p.keys, p.width);
        Tile::load(V, p.v, b, h / p.group, j0, p.keys, p.value_width);
        __syncthreads();
        typename Tile::Scores s, ds;
        tile.dots(s, Q, K, p.width);
        tile.dots(ds, G, V, p.value_width);
        const FlashKeptByRow<Tile> kept(p, tile, b, h, first, j0);
#pragma unroll
        for (int i = 0; i < R; ++i)
#pragma unroll
            for (int j = 0; j < R; ++j) {
                const T weight = p.weight(s[i][j], b, h, first + tile.row(i), j0 + tile.column(j), lse[i]);
                ds[i][j] = weight * ((kept.at(i, j) ? ds[i][j] : T(0)) - delta[i]);
            }
        tile.put(weights, ds);
        tile.accumulate(dq, weights, K, p.width);
    }
    tile.store(p.dq, b, h, first, p.queries, p.width, dq, scale);
}

template <class T, int D>
__global__ void __launch_bounds__(256, sizeof(T) == 8 && D == 64 ? 2 : 1) attention_flash_dkv(const __grid_constant__ Gradient<T> p) {
    using Tile = FlashTile<T, D>;
    constexpr int R = Tile::R;
    DYNAMIC_SHARED(T, K);
    T *const V = K + Tile::SIZE, *const Q = V + Tile::SIZE, *const G = Q + Tile::SIZE, *const weights = G + Tile::SIZE;
    const Tile tile;
    const auto [b, key_head, first] = place_of_block<Tile::SIDE>(p.heads / p.group, p.batch, p.keys);
    Tile::load(K, p.k, b, key_head, first, p.keys, p.width);
    Tile::load(V, p.v, b, key_head, first, p.keys, p.value_width);
    typename Tile::Result dk = {}, dv = {};
    for (int h = key_head * p.group; h < (key_head + 1) * p.group; ++h)
        for (int i0 = p.causal ? first : 0; i0 < p.queries; i0 += Tile::SIDE) {  // no earlier query sees these keys
            __syncthreads();
            Tile::load(Q, p.q, b, h, i0, p.queries, p.width);
            Tile::load(G, p.g, b, h, i0, p.queries, p.value_width);
            __syncthreads();
            typename Tile::Scores weight, ds;
            tile.dots(weight, K, Q, p.width);
            tile.dots(ds, V, G, p.value_width);
            const FlashKeptByColumn<Tile> kept(p, tile, b, h, i0, first);
#pragma unroll
            for (int j = 0; j < R; ++j) {
                const int query = i0 + tile.column(j);
                const T lse = p.statistic(p.lse, b, h, query), delta = p.statistic(p.delta, b, h, query);
#pragma unroll
                for (int i = 0; i < R; ++i) {
                    weight[i][j] = p.weight(weight[i][j], b, h, query, first + tile.row(i), lse);
                    ds[i][j] = weight[i][j] * ((kept.at(i, j) ? ds[i][j] : T(0)) - delta);
                    weight[i][j] = kept.at(i, j) ? weight[i][j] : T(0);
                }
            }
            tile.put(weights, weight);
            tile.accumulate(dv, weights, G, p.value_width);
            tile.put(weights, ds);
            tile.accumulate(dk, weights, Q, p.width);
        }
    T factor[R], scale[R];
#pragma unroll
    for (int i = 0; i < R; ++i) factor[i] = p.factor, scale[i] = p.scale * p.factor;
    tile.store(p.dv, b, key_head, first, p.keys, p.value_width, dv, factor);
    tile.store(p.dk, b, key_head, first, p.keys, p.width, dk, scale);
}

template <class T, int D> void run_flash_backward(const Gradient<T>& p) {
    using Tile = FlashTile<T, D>;
    constexpr size_t SHARED = (4 * Tile::SIZE + Tile::WEIGHTS) * sizeof(T);
    const auto grid = [&](int heads, int positions) { return blocks(int64_t(p.batch) * heads * ceil_div(positions, Tile::SIDE)); };
    find_delta(p);
    if (p.rows()) launch(attention_flash_dq<T, D>, grid(p.heads, p.queries), Tile::THREADS, SHARED, current_stream, p);
    if (const unsigned n = grid(p.heads / p.group, p.keys)) launch(attention_flash_dkv<T, D>, n, Tile::THREADS, SHARED, current_stream, p);
}

void flash_backward(Array& dq, Array& dk, Array& dv, Array& workspace, const Array& g, const Array& q, const Array& k, const Array& v,
                    const Array& out, const Array& lse, const Array& mask, int64_t causal, double scale, int64_t seed, int64_t first_block,
                    int64_t limit, double factor) {
    const Draw draw{seed, first_block, limit, factor};
    const int64_t width = std::max(q.shape[3], v.shape[3]);
    const auto run = [&]<class T, int D>() {
        run_flash_backward<T, D>(gradient_of<T>(dq, dk, dv, workspace, g, q, k, v, out, lse, mask, causal, scale, draw));
    };
    if (q.dtype == DType::float64) by_width<64, 128>(width, [&](auto d) { run.template operator()<double, d>(); });
    else by_width<64, 128, 256>(width, [&](auto d) { run.template operator()<float, d>(); });
}

TG_KERNEL(attention_backward, "cuda/v01_flash", "float32 float64", flash_backward, Chips{80})

}  // namespace tg::attention
