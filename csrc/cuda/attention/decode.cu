// The idea: few queries, as when a model writes a word at a time, leave most of a GPU without work. So blocks share the keys of one head:
// each attends to its part and leaves a result with its largest score and sum; a second kernel merges the parts, always in one order.
// Beside the ladder: rows of a block are the queries of all heads that share its keys, so a key is fetched once for all of them.
// Ownership: thread t owns scores of key t % KEYS of a tile for its share of the rows, then two columns of the values for all rows.
// Bottleneck: memory: keys and values are read once. Products are the fp32 units': with many rows the tensor cores would be faster.
// Measure: python benchmarks/ladder.py attention decode (emulated time)
#include <cstring>

#include "../../device/cp_async.cuh"
#include "parts.h"

namespace tg::attention {

namespace decode {

constexpr int THREADS = 128;

template <class T, int D> struct Tile {
    static constexpr int Q = 16 / int(sizeof(T)), ROW = D + Q;  // 16 bytes of padding: threads that read one column meet no bank twice
    static constexpr int KEYS = std::min(64, int(16384 / (D * sizeof(T)))), SIZE = KEYS * ROW;

    // Starts the copies of the vectors from position `first` on; zeros stand for those from `end` on.
    __device__ static void load(T* tile, const Heads<const T>& from, bool chunks, int b, int h, int first, int end, int width) {
        for (int at = int(threadIdx.x); at < KEYS * D / Q; at += THREADS) {
            const int r = at / (D / Q), d = at % (D / Q) * Q, count = first + r < end ? max(0, min(Q, width - d)) : 0;
            const T* vector = count ? from.at(b, h, first + r) + d : from.data;
            T* const to = tile + r * ROW + d;
            if (chunks) device::cp_async_16(to, vector, unsigned(count * sizeof(T)));
            else
                for (int e = 0; e < Q; ++e) to[e] = e < count ? vector[e] : T(0.0f);
        }
    }
};

}  // namespace decode

template <class T, int D, int R>
__global__ void __launch_bounds__(decode::THREADS, 1)
    attention_decode(const __grid_constant__ Problem<T> p, Parts parts, bool k_chunks, bool v_chunks) {
#ifndef TG_NO_AMPERE
    using Tile = decode::Tile<T, D>;
    constexpr int KEYS = Tile::KEYS, LANES = D / 2, SHARES = decode::THREADS / LANES;  // threads of a pair of columns share the keys
    constexpr int ROW = R + 4;  // of the weights of a key
    constexpr int EACH = R * KEYS / decode::THREADS > 0 ? R * KEYS / decode::THREADS : 1;
    DYNAMIC_SHARED(T, Ks);
    T* const Vs = Ks + 2 * Tile::SIZE;
    float *const queries = reinterpret_cast<float*>(Vs + 2 * Tile::SIZE), *const weights = queries + R * D;
    __shared__ float top[R], sum[R], shrink[R];
    const int thread = int(threadIdx.x), lane = thread % 32;
    const int key_heads = p.heads / p.group, all = p.group * p.queries, row_tiles = ceil_div(all, R);
    const int part = int(blockIdx.x) % parts.count, head = int(blockIdx.x) / parts.count / row_tiles;
    const int first_row = int(blockIdx.x) / parts.count % row_tiles * R, b = head / key_heads, key_head = head % key_heads;
    const auto query = [&](int r) { return (first_row + r) % p.queries; };
    const auto query_head = [&](int r) { return key_head * p.group + (first_row + r) / p.queries; };

    const int last = p.causal ? min(p.keys, p.queries) : p.keys, tiles = ceil_div(last, KEYS), share = ceil_div(tiles, parts.count);
    const int begin = min(part * share, tiles), steps = min(share, tiles - begin);
    const auto load = [&](int step) {
        if (step < steps) {
            const int first = (begin + step) * KEYS;
            Tile::load(Ks + step % 2 * Tile::SIZE, p.k, k_chunks, b, key_head, first, last, p.width);
            Tile::load(Vs + step % 2 * Tile::SIZE, p.v, v_chunks, b, key_head, first, last, p.value_width);
        }
        device::cp_async_commit();
    };
    load(0);
    for (int at = thread; at < R * D; at += decode::THREADS) {
        const int r = at / D, d = at % D;
        queries[at] = first_row + r < all && d < p.width ? float(p.q.at(b, query_head(r), query(r))[d]) : 0.0f;
    }
    if (thread < R) top[thread] = -INFINITY, sum[thread] = 0;

    const int column = thread % LANES * 2, my_share = thread / LANES, key = thread % KEYS, my_rows = thread / KEYS * EACH;
    float values[R][2] = {};
    for (int step = 0; step < steps; ++step) {
        device::cp_async_wait<0>();
        __syncthreads();  // everybody's copies of this step are there, and nobody reads the buffers that are filled next
        load(step + 1);
        const T *const K = Ks + step % 2 * Tile::SIZE + key * Tile::ROW, *const V = Vs + step % 2 * Tile::SIZE + column;
        const int j = (begin + step) * KEYS + key;
        if (my_rows < R) {
            float s[EACH] = {};
            for (int d = 0; d < p.width; d += Tile::Q) {
                T k[Tile::Q];
                const int4 chunk = *reinterpret_cast<const int4*>(K + d);
                memcpy(static_cast<void*>(k), &chunk, sizeof chunk);
#pragma unroll
                for (int r = 0; r < EACH; ++r)
#pragma unroll
                    for (int e = 0; e < Tile::Q; e += 4) {
                        const float4 q = *reinterpret_cast<const float4*>(queries + (my_rows + r) * D + d + e);
                        s[r] += q.x * float(k[e]) + q.y * float(k[e + 1]) + q.z * float(k[e + 2]) + q.w * float(k[e + 3]);
                    }
            }
#pragma unroll
            for (int r = 0; r < EACH; ++r) {
                const int row = my_rows + r;
                weights[key * ROW + row] = first_row + row < all ? p.score(s[r], b, query_head(row), query(row), j) : -INFINITY;
            }
        }
        __syncthreads();
        for (int r = thread / 32; r < R; r += decode::THREADS / 32) {  // a warp a row
            float now = lane == 0 ? top[r] : -INFINITY, more = 0;  // lane 0's alone: shuffles order no memory
            for (int k = lane; k < KEYS; k += 32) now = fmaxf(now, weights[k * ROW + r]);
#pragma unroll
            for (int lanes = 16; lanes > 0; lanes /= 2) now = fmaxf(now, __shfl_xor_sync(~0u, now, lanes));
            const float base = now == -INFINITY ? 0.0f : now;  // nothing seen yet: all weights are 0
            for (int k = lane; k < KEYS; k += 32) more += weights[k * ROW + r] = power_of_two(weights[k * ROW + r] - base);
#pragma unroll
            for (int lanes = 16; lanes > 0; lanes /= 2) more += __shfl_xor_sync(~0u, more, lanes);
            if (lane == 0) {
                shrink[r] = power_of_two(top[r] - base);
                sum[r] = sum[r] * shrink[r] + more;
                top[r] = now;
            }
        }
        __syncthreads();
#pragma unroll
        for (int r = 0; r < R; ++r) values[r][0] *= shrink[r], values[r][1] *= shrink[r];
        for (int k = my_share; k < KEYS; k += SHARES) {
            struct alignas(2 * sizeof(T)) Pair {
                T left, right;
            };
            const Pair pair = *reinterpret_cast<const Pair*>(V + k * Tile::ROW);
            const float left = float(pair.left), right = float(pair.right);
#pragma unroll
            for (int r = 0; r < R; r += 4) {
                const float4 w = *reinterpret_cast<const float4*>(weights + k * ROW + r);
                values[r][0] += w.x * left, values[r][1] += w.x * right;
                values[r + 1][0] += w.y * left, values[r + 1][1] += w.y * right;
                values[r + 2][0] += w.z * left, values[r + 2][1] += w.z * right;
                values[r + 3][0] += w.w * left, values[r + 3][1] += w.w * right;
            }
        }
    }
    device::cp_async_wait<0>();
    __syncthreads();

    float* const sums = reinterpret_cast<float*>(Ks);  // (SHARES, R, D): nobody needs the keys any more
    static_assert(SHARES * R * D * sizeof(float) <= 2 * Tile::SIZE * sizeof(T));
#pragma unroll
    for (int r = 0; r < R; ++r)
#pragma unroll
        for (int e = 0; e < 2; ++e) sums[(my_share * R + r) * D + column + e] = values[r][e];
    __syncthreads();
    for (int at = thread; at < R * (p.value_width + 2); at += decode::THREADS) {
        const int r = at / (p.value_width + 2), d = at % (p.value_width + 2);
        if (first_row + r >= all) break;
        float x = d == p.value_width ? top[r] : sum[r];
        if (d < p.value_width) {
            x = 0;
            for (int of = 0; of < SHARES; ++of) x += sums[(of * R + r) * D + d];
        }
        parts.at(part, p.number(b, query_head(r), query(r)))[d] = x;
    }
#endif
}

void decode_attention(Array& out, Array& lse, const Array& q, const Array& k, const Array& v, const Array& mask, int64_t causal,
                      double scale, Array& workspace) {
    by_dtype<float, __nv_bfloat16, __half>(q.dtype, [&]<class T>() {
        const Problem<T> p = problem_of<T>(q, k, v, mask, causal, scale, Draw{0, 0, int64_t(1) << 32, 1});
        if (!p.rows()) return;
        const Parts parts{workspace.ptr<float>(), dimension(workspace.shape[0]), p.value_width, p.rows()};
        const auto chunks = [](const Heads<const T>& x) {
            constexpr int Q = 16 / sizeof(T);
            return reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && x.batch % Q == 0 && x.head % Q == 0 && x.row % Q == 0;
        };
        const int all = p.group * p.queries;
        const auto run = [&](auto d, auto r) {
            constexpr int D = decltype(d)::value, R = decltype(r)::value;
            using Tile = decode::Tile<T, D>;
            constexpr size_t SHARED = 4 * Tile::SIZE * sizeof(T) + (R * D + Tile::KEYS * (R + 4)) * sizeof(float);
            const unsigned grid = blocks(int64_t(p.batch) * (p.heads / p.group) * ceil_div(all, R) * parts.count);
            launch(attention_decode<T, D, R>, grid, decode::THREADS, SHARED, current_stream, p, parts, chunks(p.k), chunks(p.v));
        };
        const auto rows = [&](auto d) {
            if (all <= 4) run(d, std::integral_constant<int, 4>());
            else run(d, std::integral_constant<int, 16>());
        };
        const int width = std::max(p.width, p.value_width);
        if constexpr (sizeof(T) == 4) by_width<64, 128>(width, rows);
        else by_width<64, 128, 256>(width, rows);
        launch(attention_merge<T>, blocks(p.rows()), MERGE_THREADS, 0, current_stream, p, Heads<T>(out), lse.ptr<float>(), parts);
    });
}

TG_KERNEL(attention, "cuda/decode", "float32 bfloat16 float16", decode_attention, Chips{80})

}  // namespace tg::attention
