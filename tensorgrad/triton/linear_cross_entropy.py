"""Losses of scores x w^T + b that are nowhere in memory: a tile of them is multiplied, told to the sums of its positions and forgotten.

For losses alone (validation, reduction "none"); gradients are made in the scores' place, a chunk at a time, by `triton/v01_online`.
Programs share the classes among themselves, each leaves the maximum and the sums of its part, and a last kernel puts them together.
Wijmans et al., "Cut your losses in large-vocabulary language models", arXiv:2411.09009, section 4.1.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .runtime import FREE, cdiv, kernel, power_of_2, rung, steps
from .shared.labels import loss_of, weight_of, weights_of
from .shared.softmax import part
from .shared.tiles import part_of_sum

HALF = "float16 bfloat16"


@kernel
def linear_cross_entropy_tiles(STATS, X, W, B, TARGET, CW, positions, n, K, length, xm, wn, wk, SMOOTH: tl.constexpr,
                               PRECISION: tl.constexpr, EVEN: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    # STATS (parts, 5, positions): the maximum of the scores, the sum of exponentials below it, x_t, sum w_c x_c and sum w_c.
    m, first = tl.program_id(0) * BM, tl.program_id(1) * length
    row = m + tl.arange(0, BM)
    t = tl.load(TARGET + row, mask=row < positions, other=-1).to(tl.int32)
    top = tl.full([BM], -float("inf"), tl.float32)
    total, own = tl.zeros([BM], tl.float32), tl.zeros([BM], tl.float32)
    weighted, weights = tl.zeros([BM], tl.float32), tl.zeros([BM], tl.float32)
    for step in range(0, length, BN):
        start = first + step
        c = start + tl.arange(0, BN)
        inside = (c < n)[None, :]
        x = part_of_sum(X, W, m, start, positions, n, K, xm, 1, wk, wn, PRECISION, EVEN, BM, BN, BK)
        if B is not None:
            x += tl.load(B + c, mask=c < n, other=0.0).to(tl.float32)[None, :]
        own += tl.sum(tl.where(c[None, :] == t[:, None], x, 0.0), 1)
        if SMOOTH:
            w = weights_of(CW, c, n)
            weighted += tl.sum(tl.where(inside, w[None, :] * x, 0.0), 1)
            weights += tl.sum(w, 0)
        x = tl.where(inside, x, -float("inf"))
        higher = tl.maximum(top, tl.max(x, 1))
        total = total * tl.where(top == higher, 1.0, tl.exp(top - higher)) + tl.sum(part(x, x, higher[:, None], "softmax"), 1)
        top = higher
    at = STATS + tl.program_id(1).to(tl.int64) * 5 * positions + row
    tl.store(at, top, mask=row < positions)
    tl.store(at + positions, total, mask=row < positions)
    tl.store(at + 2 * positions, own, mask=row < positions)
    tl.store(at + 3 * positions, weighted, mask=row < positions)
    tl.store(at + 4 * positions, weights, mask=row < positions)


@kernel
def linear_cross_entropy_losses(LOSS, STATS, TARGET, CW, positions, parts, ignored, rest, uniform, SMOOTH: tl.constexpr,
                                BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = row < positions
    t = tl.load(TARGET + row, mask=here, other=0)
    counts = here & (t != ignored)
    at = STATS + row.to(tl.int64)
    top = tl.full([BLOCK], -float("inf"), tl.float32)
    total, own = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    weighted, weights = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for _ in range(parts):  # always in one order
        a, s = tl.load(at, mask=here, other=0.0), tl.load(at + positions, mask=here, other=0.0)
        higher = tl.maximum(top, a)
        total = total * tl.where(top == higher, 1.0, tl.exp(top - higher)) + s * tl.where(a == higher, 1.0, tl.exp(a - higher))
        top = higher
        own += tl.load(at + 2 * positions, mask=here, other=0.0)
        weighted += tl.load(at + 3 * positions, mask=here, other=0.0)
        weights += tl.load(at + 4 * positions, mask=here, other=0.0)
        at += 5 * positions
    loss = loss_of(top, tl.log(total), own, weighted, weights, weight_of(CW, t, counts), counts, rest, uniform, SMOOTH)
    tl.store(LOSS + row, loss, mask=here)


def tile_of(precision: str, positions: int) -> tuple[int, int, int]:
    """Positions, classes and features of a tile."""
    bm, bn, bk = (64, 64, 16) if precision == "ieee" else (128, 64, 64)
    return min(bm, max(16, power_of_2(positions))), bn, bk


def losses(precision: str, loss: Any, x: Any, w: Any, bias: Any, target: Any, weight: Any, ignored: int, smoothing: float,
           stats: Any) -> None:
    """Losses (positions) of x (positions, K) without gaps and w (classes, K); `stats` (parts, 5, positions), in float32, to work in."""
    (positions, k), n, parts = x.shape, w.shape[0], stats.shape[0]
    if not positions:
        return
    bm, bn, bk = tile_of(precision, positions)
    bk = bk // 2 if precision == "tf32" and x.itemsize == 4 else bk
    length = cdiv(cdiv(n, parts), bn) * bn
    smooth = smoothing != 0
    linear_cross_entropy_tiles[cdiv(positions, bm), parts](
        stats, x, w, bias, target, weight, positions, n, k, length, k, *steps(w), SMOOTH=smooth, PRECISION=precision, EVEN=k % bk == 0,
        BM=bm, BN=bn, BK=bk, num_warps=8, num_stages=3, maxnreg=FREE)
    linear_cross_entropy_losses[cdiv(positions, 128)](
        loss, stats, target, weight, positions, parts, ignored, 1.0 - smoothing, smoothing / n, SMOOTH=smooth, BLOCK=128, num_warps=4)


rung("linear_cross_entropy", "triton/v03_fused_linear", "float32")(lambda *args: losses("ieee", *args))
rung("linear_cross_entropy", "triton/v04_fused_tensor_core", HALF)(lambda *args: losses("tf32", *args))
rung("linear_cross_entropy", "triton/v04_fused_tensor_core_tf32", "float32")(lambda *args: losses("tf32", *args))
