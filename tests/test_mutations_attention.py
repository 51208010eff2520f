"""Bugs planted in copies of the attention rungs: does the emulator show them? What counts as that is said in tests/planted.py."""
from __future__ import annotations

import ml_dtypes
import numpy as np
import planted
import pytest
from planted import Call, Made
from test_attention_ladder import TOLERANCE, factors_of, reference

from tensorgrad.ops.shared.attention import dropout_of

pytestmark = planted.pytestmark

# (rung or rung/header, what is wrong with it, the text, what stands in its place, which occurrence)
MUTANTS = [
    ("v00_naive", "a score too many", "at >= rows * p.keys", "at > rows * p.keys", 1),
    ("v00_naive", "a group of heads shares nothing", "r.head / p.group, key", "r.head, key", 1),
    ("v00_naive", "a row that sees nothing divides by zero", "sum == 0 ? Sum(0) : 1 / sum", "1 / sum", 1),
    ("v00_naive", "what dropout keeps is not scaled", "inverse * p.factor", "inverse", 1),
    ("v00_naive/dropout", "dropout transposed", "number_of_query * blocks + n", "n * blocks + number_of_query", 1),
    ("v00_naive/dropout", "a query's numbers run into the next one's", "(keys + 3) / 4", "keys / 4", 1),
    ("v01_flash", "no barrier before the next loads", "__syncthreads();", "", 1),
    ("v01_flash", "no barrier after the loads", "__syncthreads();", "", 2),
    ("v01_flash", "the sum is not rescaled", "sum[i] *= shrink;", "", 1),
    ("v01_flash", "the values are not rescaled", "sum_of_values[i][c][d] *= shrink;", ";", 1),
    ("v01_flash", "the diagonal tile is left out", "min(p.keys, first + Tile::SIDE)", "min(p.keys, first)", 1),
    ("v01_flash", "nothing seen yet is not a number", "now == T(-INFINITY) ? T(0) : now", "now", 1),
    ("v01_flash", "half of a row's lanes", "lanes = 8", "lanes = 4", 1),
    ("v01_flash", "what dropout keeps is not scaled", "p.factor / sum[i]", "1 / sum[i]", 1),
    ("v01_flash", "dropout of the first tile everywhere", "kept(p, tile, b, h, first, j0)", "kept(p, tile, b, h, first, 0)", 1),
    ("v01_flash/dropout", "a block's first word for all four keys", "of[w] = bits >> which;", "of[w] = bits;", 2),
    ("v01_flash_backward", "no barrier before the next loads", "__syncthreads();", "", 1),
    ("v01_flash_backward", "no barrier after the loads of queries", "__syncthreads();", "", 4),
    ("v01_flash_backward", "one head of a group is left out", "h < (key_head + 1) * p.group", "h < (key_head + 1) * p.group - 1", 1),
    ("v01_flash_backward", "delta is not taken off", " - delta)", ")", 1),
    ("v01_flash_backward", "queries before the diagonal", "p.causal ? first : 0", "p.causal ? first + Tile::SIDE : 0", 1),
    ("v01_flash_backward", "dropout transposed", "kept(p, tile, b, h, i0, first)", "kept(p, tile, b, h, first, i0)", 1),
    ("v01_flash_backward", "dv of the weights before dropout", "weight[i][j] = kept.at(i, j) ? weight[i][j] : T(0);", "", 1),
    ("v01_flash_backward", "a dropped weight has no slope", "ds[i][j] : T(0)) - delta[i]", "ds[i][j] - delta[i] : T(0))", 1),
    ("v01_flash_backward/backward", "delta as it is without dropout", "sum * p.kept", "sum", 1),
    ("v02_flash_tensor_core", "no wait for the copies", "device::cp_async_wait<0>();", "", 1),
    ("v02_flash_tensor_core", "no barrier after the wait", "__syncthreads();", "", 1),
    ("v02_flash_tensor_core", "a copy into the buffer in use", "load(step + 1);", "load(step + 2);", 1),
    ("v02_flash_tensor_core", "one row of two is rescaled", ", sum_of_values[n][2 * half + 1] *= shrink", "", 1),
    ("v02_flash_tensor_core", "the values of the other buffer", "weights, Vs + step % 2 * SIZE", "weights, Vs", 1),
    ("v02_flash_tensor_core", "dropout of other rows", "first + tile.row(0)", "first + tile.row(2)", 1),
    ("v02_flash_tensor_core/dropout", "the first two words for all four keys", "other : mine) >> 2 * odd", "other : mine)", 1),
    ("v02_flash_tensor_core/dropout", "two lanes mix up their rows", "(odd ? mine : other)", "(odd ? other : mine)", 1),
    ("v02_flash_tensor_core_backward", "no barrier after the wait", "__syncthreads();", "", 3),
    ("v02_flash_tensor_core_backward", "no wait for the copies", "device::cp_async_wait<0>();", "", 3),
    ("v02_flash_tensor_core_backward", "the scale is forgotten", "dq, {p.scale * p.factor, p.scale", "dq, {p.factor, p.scale", 1),
    ("v02_flash_tensor_core_backward", "the next head a step late", "step / per_head, i0", "(step + 1) / per_head % p.group, i0", 2),
    ("v02_flash_tensor_core_backward", "dv of the weights before dropout", "if (p.dropout.on) drop(operand, kept);", "", 1),
    ("v02_flash_tensor_core_backward", "dk of the weights before dropout", "if (p.dropout.on) drop(ds, kept);", "", 1),
    ("v02_flash_tensor_core_backward/dropout", "two lanes of four are not told", "bits |= __shfl_xor_sync(~0u, bits, 8);", "", 1),
    ("v02_flash_tensor_core_backward/dropout", "keys eight rows on share their numbers", "row / 4 + which / 2 * 2", "row / 4", 1),
    ("v03_flash_hopper", "the queries are not waited for", "device::mbarrier_wait(&q_full, 0);", "", 1),
    ("v03_flash_hopper", "the keys of a phase before", "step / STAGES % 2);", "(step / STAGES + 1) % 2);", 1),
    ("v03_flash_hopper", "the values are not waited for", "device::mbarrier_wait(&v_full[before], (step - 1) / STAGES % 2);", "", 1),
    ("v03_flash_hopper", "the values of the other stage", "weights, Vs + before * TILE", "weights, Vs + stage * TILE", 1),
    ("v03_flash_hopper", "keys fetched over those in use", "device::mbarrier_wait(&k_empty[s], free);", "", 1),
    ("v03_flash_hopper", "values fetched over those in use", "device::mbarrier_wait(&v_empty[s], free);", "", 1),
    ("v03_flash_hopper", "no wait for the scores", "device::wgmma_wait<1>();", "device::wgmma_wait<2>();", 1),
    ("v03_flash_hopper", "weights and values touched while they are multiplied", "device::wgmma_wait<0>();", "", 2),
    ("v03_flash_hopper", "no wait for the last values", "device::wgmma_wait<0>();", "", 3),
    ("v03_flash_hopper", "nobody has the first turn", "if (warpgroup == 1) your_turn();", "", 1),
    ("v03_flash_hopper", "a turn too few", "if (warpgroup == 0 || step + 1 < steps) your_turn();", "if (step + 1 < steps) your_turn();", 1),
    ("v03_flash_hopper", "keys are not given back", "release(&k_empty[stage]);", "", 1),
    ("v03_flash_hopper", "the diagonal is not tested", "from + N - 1 > row", "from > row", 1),
    ("v03_flash_hopper", "missing keys count", "from + N > p.keys", "from > p.keys", 1),
    ("v03_flash_hopper", "the sum is not rescaled", "sum[half] *= shrink[half];", "", 1),
    ("v03_flash_hopper", "the values are not rescaled", "sum_of_values[e] *= shrink[e % 4 / 2];", ";", 1),
    ("v03_flash_hopper", "half of a row's lanes", "lanes = 2", "lanes = 1", 1),
    ("v03_flash_hopper", "dropout of the first row for both", "kept.at(e / 4, e % 4)", "kept.at(e / 4, e % 2)", 1),
    ("v03_flash_hopper/dropout", "half of a tile drops as the other", "(w * 8 + n) * 2", "n * 2", 1),
    ("v03_flash_hopper_backward", "the rows are not waited for", "device::mbarrier_wait(&own, 0);", "", 1),
    ("v03_flash_hopper_backward", "tiles fetched over those in use", "pipe.await_empty(step);", "", 1),
    ("v03_flash_hopper_backward", "no wait for the scores", "device::wgmma_wait<1>();", "device::wgmma_wait<2>();", 1),
    ("v03_flash_hopper_backward", "no wait for the gradients of weights", "device::wgmma_wait<0>();", "", 1),
    ("v03_flash_hopper_backward", "keys given back while they are multiplied", "device::wgmma_wait<0>();", "", 2),
    ("v03_flash_hopper_backward", "queries given back while they are multiplied", "device::wgmma_wait<0>();", "", 3),
    ("v03_flash_hopper_backward", "no wait for the slopes of keys", "device::wgmma_wait<1>();", "", 3),
    ("v03_flash_hopper_backward", "delta is not taken off", "(ds[e] - delta[e % 4 / 2])", "ds[e]", 1),
    ("v03_flash_hopper_backward", "the scale is forgotten", "dq, {p.scale * p.factor, p.scale", "dq, {p.factor, p.scale", 1),
    ("v03_flash_hopper_backward", "the sums of another head's weights", "h = head(step), i0", "h = head((step + 1) % steps), i0", 1),
    ("v03_flash_hopper_backward", "queries before the diagonal", "p.causal ? first / N : 0", "p.causal ? first / N + 1 : 0", 1),
    ("v03_flash_hopper_backward", "the diagonal is not tested", "from + N - 1 > warp_row", "from > warp_row", 1),
    ("v03_flash_hopper_backward", "dv of the weights before dropout", "drop(weights, kept);", "", 1),
    ("v03_flash_hopper_backward", "what dropout keeps is not scaled", "{p.factor, p.factor}", "{1.0f, 1.0f}", 1),
    ("v03_flash_hopper_backward", "keys drop what queries should", "kept.draw(p, b, h, i0, row)", "kept.draw(p, b, h, row, i0)", 1),
    ("decode", "no wait for the copies", "device::cp_async_wait<0>();", "", 1),
    ("decode", "no barrier after the wait", "__syncthreads();", "", 1),
    ("decode", "no barrier before the scores are read", "__syncthreads();", "", 2),
    ("decode", "no barrier before the weights are read", "__syncthreads();", "", 3),
    ("decode", "a share too short", "ceil_div(tiles, parts.count)", "tiles / parts.count", 1),
    ("decode", "the values are not rescaled", "values[r][0] *= shrink[r], ", "", 1),
    ("decode", "one head of a group for all", "key_head * p.group + (first_row + r) / p.queries", "key_head * p.group", 1),
    ("decode", "a share of the values is left out", "of < SHARES", "of < 1", 1),
]
# batch, query heads, key heads, queries, keys, size, value size, causal, mask; the second with dropout
PROBLEMS = [(1, 2, 1, 70, 75, 24, 40, 1, "bias"), (1, 2, 1, 130, 75, 64, 64, 1, "dropout"), (1, 1, 1, 33, 200, 8, 8, 0, "rows")]
MORE = {"v03_flash_hopper": [(1, 1, 1, 260, 260, 16, 16, 1, None), (1, 2, 1, 130, 700, 16, 16, 0, None)],  # whole tiles; all of the stages
        "v03_flash_hopper_backward": [(1, 1, 1, 260, 260, 16, 16, 1, None), (1, 2, 1, 200, 400, 16, 16, 0, None)],
        "decode": [(1, 4, 2, 3, 700, 64, 40, 0, None)]}


def texts(rung, *bug):
    return planted.texts_of(f"attention/{rung}", *bug)


def calls(rung):
    rung = rung.partition("/")[0]
    backward = rung.endswith("_backward")
    dtype, name = (ml_dtypes.bfloat16, "bfloat16") if "tensor_core" in rung or "hopper" in rung else (np.float32, "float32")
    more = MORE.get(rung, [])
    for problem in (*PROBLEMS, *more):
        b, h, hk, n, s, e, ev, causal, masked = problem
        rng = np.random.default_rng(n)
        q, k, v, g = (rng.standard_normal(x).astype(dtype) for x in ((b, h, n, e), (b, hk, s, e), (b, hk, s, ev), (b, h, n, ev)))
        mask = rng.standard_normal((b, h, n, s)).astype(dtype) if masked == "bias" else None
        if masked == "rows":
            mask = np.broadcast_to((rng.random((n, 1)) < 0.6) & (np.arange(s) > 70), (b, h, n, s)).copy()
        p, state = 0.4 if masked == "dropout" and rung != "decode" else 0.0, (12345, 2**32 - 2)
        given, factors = (q, k, v, mask, bool(causal), 0.3), factors_of((b, h, n, s), p, state)
        out, lse = reference(*given, factors=factors)
        want = reference(*given, g.astype(np.float64), factors) if backward else (out,)
        dropout = () if rung == "decode" else dropout_of(p, state)
        made, size = [Made(w.shape, dtype) for w in want], (3, b * h * n, ev + 2) if rung == "decode" else (b * h * n * s,)
        room = Made(size, np.float32)
        if backward:
            arguments = [*made, room, g, q, k, v, out.astype(dtype), lse.astype(np.float32), mask, causal, 0.3, *dropout]
        else:
            arguments = [*made, Made(lse.shape, np.float32), q, k, v, mask, causal, 0.3, *dropout, room]
        yield Call(f"{n} queries, {s} keys", "attention_backward" if backward else "attention", rung.removesuffix("_backward"), arguments,
                   list(want), [3 * TOLERANCE[name] * np.linalg.norm(w) for w in want], recorded=problem is [*PROBLEMS[:1], *more][-1])


def test_planted_bugs_are_caught(build):
    assert planted.missed(build, MUTANTS, texts, calls) == []


@pytest.mark.parametrize("rung", sorted({m[0].partition("/")[0] for m in MUTANTS}))
def test_the_rungs_themselves_pass(build, rung):
    assert planted.examined(build(texts(rung)), calls(rung)) == [None, None]
