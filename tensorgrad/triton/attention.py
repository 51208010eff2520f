"""Attention block by block: dropout(softmax(scale q k^T + mask)) v, scores never in memory, several heads on one of the keys.

Dao, "FlashAttention-2", arXiv:2307.08691. `v01_flash` is for float32, as it is; `v02_flash_tensor_core` for halves, whose weights are
rounded to a half for the second product. Dropout draws random words tile by tile, the same ones for whatever tile. `decode` is for few
queries and many keys: programs share the keys of a head, each of them takes the queries of all heads that share these keys, and leaves a
result with its largest score and sum; a second kernel merges the parts, always in one order.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import triton.language as tl

from .runtime import FREE, cdiv, device_function, forms, kernel, plan, rung, space
from .shared.scores import HALF, LOG2E, dropped, heads_of, kept, mask_of, seen, store_vectors, vectors, widths
from .tuned import class_of, lookup

ROWS = 16  # of a program of `decode`: the least the tensor cores take


@device_function
def attend(total, top, share, q, K, V, i, number, first, last, M, seed, block, kept_to, mi, mj, kr, vr, queries, keys, width, value_width,
           scale, CAUSAL: tl.constexpr, MASK: tl.constexpr, EDGE: tl.constexpr, PRECISION: tl.constexpr, BN: tl.constexpr,
           DQ: tl.constexpr, DV: tl.constexpr):
    # Keys from `first` to `last`: their share in the sum of values, with the largest score and the sum of weights so far.
    # i: the queries; number: they counted through batches and heads, which dropout wants to know.
    for start in range(first, last, BN):
        k = vectors(K, start, kr, keys, width, EDGE, BN, DQ)
        s = tl.dot(q, k.T, input_precision=PRECISION) * scale
        s = seen(s, i[:, None], (start + tl.arange(0, BN))[None, :], M, mi, mj, queries, keys, CAUSAL, MASK, EDGE)
        higher = tl.maximum(top, tl.max(s, 1))
        base = tl.where(higher == -float("inf"), 0.0, higher)
        p = tl.exp2(s - base[:, None])
        less = tl.exp2(top - base)
        share = share * less + tl.sum(p, 1)
        if seed is not None:
            p = tl.where(kept(seed, block, kept_to, number, start, keys, BN), p, 0.0)
        v = vectors(V, start, vr, keys, value_width, EDGE, BN, DV)
        total = tl.dot(p.to(v.dtype), v, total * less[:, None], input_precision=PRECISION)
        top = higher
    return total, top, share


@kernel
def attention_flash(Out, L, Q, K, V, M, seed, block, kept_to, factor, ob, oh, or_, qb, qh, qr, kb, kh, kr, vb, vh, vr, mb,
                    mh, mi, mj, heads, group, queries, keys, width, value_width, scale, CAUSAL: tl.constexpr, MASK: tl.constexpr,
                    PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, DQ: tl.constexpr, DV: tl.constexpr):
    tiles = tl.cdiv(queries, BM)
    which = tl.program_id(0) % tl.cdiv(tl.num_programs(0), tiles)
    first = (tiles - 1 - tl.program_id(0) // tl.cdiv(tl.num_programs(0), tiles)) * BM  # under a causal mask the last tile is the longest
    b, h = (which // heads).to(tl.int64), which % heads
    kv = (h // group).to(tl.int64)
    i = first + tl.arange(0, BM)
    number = which.to(tl.int64) * queries + i
    q = vectors(Q + b * qb + h.to(tl.int64) * qh, first, qr, queries, width, True, BM, DQ)
    K += b * kb + kv * kh
    V += b * vb + kv * vh
    if MASK:
        M += b * mb + h.to(tl.int64) * mh
    total = tl.zeros([BM, DV], tl.float32)
    top, share = tl.full([BM], -float("inf"), tl.float32), tl.zeros([BM], tl.float32)
    last = tl.minimum(keys, first + BM) if CAUSAL else keys
    whole = (tl.minimum(keys, first) if CAUSAL else keys) // BN * BN  # keys of blocks that every query sees
    total, top, share = attend(total, top, share, q, K, V, i, number, 0, whole, M, seed, block, kept_to, mi, mj, kr, vr, queries, keys,
                               width, value_width, scale, CAUSAL, MASK, False, PRECISION, BN, DQ, DV)
    total, top, share = attend(total, top, share, q, K, V, i, number, whole, last, M, seed, block, kept_to, mi, mj, kr, vr, queries, keys,
                               width, value_width, scale, CAUSAL, MASK, True, PRECISION, BN, DQ, DV)
    total = total / tl.where(share == 0.0, 1.0, share)[:, None]  # a query that sees nothing has zeros
    if seed is not None:
        total *= factor
    store_vectors(Out + b * ob + h.to(tl.int64) * oh, total, first, or_, queries, value_width, BM, DV)
    tl.store(L + number, (top + tl.log2(share)) * 0.6931471805599453, mask=i < queries)


@kernel
def attention_part(P, Q, K, V, M, qb, qh, qr, kb, kh, kr, vb, vh, vr, mb, mh, mi, mj, heads, group, queries, keys, width, value_width,
                   scale, parts, all_rows, CAUSAL: tl.constexpr, MASK: tl.constexpr, PRECISION: tl.constexpr, BM: tl.constexpr,
                   BN: tl.constexpr, DQ: tl.constexpr, DV: tl.constexpr):
    part, shared = tl.program_id(0) % parts, heads // group
    tiles = tl.cdiv(group * queries, BM)  # rows are the queries of all heads that share keys
    which = tl.program_id(0) // parts // tiles
    row = tl.program_id(0) // parts % tiles * BM + tl.arange(0, BM)
    there = row < group * queries
    b, kv = (which // shared).to(tl.int64), (which % shared).to(tl.int64)
    h, i = kv * group + row // queries, tl.where(there, row % queries, queries)
    element = tl.arange(0, DQ)
    at = Q + b * qb + h[:, None] * qh + i.to(tl.int64)[:, None] * qr + element[None, :]
    q = tl.load(at, mask=there[:, None] & (element < width)[None, :], other=0.0)
    number = (b * heads + h) * queries + i
    last = tl.minimum(keys, queries) if CAUSAL else keys
    length = tl.cdiv(tl.cdiv(last, BN), parts) * BN
    first = tl.minimum(part * length, last)
    total = tl.zeros([BM, DV], tl.float32)
    top, share = tl.full([BM], -float("inf"), tl.float32), tl.zeros([BM], tl.float32)
    total, top, share = attend(total, top, share, q, K + b * kb + kv * kh, V + b * vb + kv * vh, i, number, first,
                               tl.minimum(first + length, last), M if MASK == 0 else M + b * mb + h[:, None] * mh, None, None, None, mi, mj,
                               kr, vr, queries, keys, width, value_width, scale, CAUSAL, MASK, True, PRECISION, BN, DQ, DV)
    column = tl.arange(0, DV)
    to = P + (part * all_rows + number) * (value_width + 2)
    tl.store(to[:, None] + column[None, :], total, mask=there[:, None] & (column < value_width)[None, :])
    tl.store(to + value_width, top, mask=there)
    tl.store(to + value_width + 1, share, mask=there)


@kernel
def attention_merge(Out, L, P, ob, oh, or_, heads, queries, value_width, parts, all_rows, BM: tl.constexpr, DV: tl.constexpr):
    number, column = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM), tl.arange(0, DV)
    there = number < all_rows
    total = tl.zeros([BM, DV], tl.float32)
    top, share = tl.full([BM], -float("inf"), tl.float32), tl.zeros([BM], tl.float32)
    at = P + number * (value_width + 2)
    wanted = there[:, None] & (column < value_width)[None, :]
    for _ in range(parts):
        its_top = tl.load(at + value_width, mask=there, other=-float("inf"))
        higher = tl.maximum(top, its_top)
        base = tl.where(higher == -float("inf"), 0.0, higher)
        less, its_less = tl.exp2(top - base), tl.exp2(its_top - base)
        total = total * less[:, None] + tl.load(at[:, None] + column[None, :], mask=wanted, other=0.0) * its_less[:, None]
        share = share * less + tl.load(at + value_width + 1, mask=there, other=0.0) * its_less
        top = higher
        at += all_rows * (value_width + 2)
    total = total / tl.where(share == 0.0, 1.0, share)[:, None]
    b, h, i = number // queries // heads, number // queries % heads, number % queries
    to = Out + (b * ob + h * oh + i * or_)[:, None] + column[None, :]
    tl.store(to, total.to(Out.dtype.element_ty), mask=wanted)
    tl.store(L + number, (top + tl.log2(share)) * 0.6931471805599453, mask=there)


@plan
def plan_forward(precision: str, tile: tuple[int, int], dtype: Any, arrays: tuple, causal: bool, scale: float, drops: bool) -> Any:
    """The launch for out, q, k, v and a mask of these forms."""
    out, q, k, v, mask = arrays
    (b, heads, queries, width), (_, shared, keys, _) = q[0], k[0]
    kind, mask_steps = mask_of(mask)
    own = {"BM": tile[0], "BN": tile[1], "num_warps": 8, "num_stages": 2}
    if precision == "tf32" and kind == 0 and not drops:
        own = lookup("attention v02_flash_tensor_core", dtype, class_of(queries, keys, width) + ("x1" if causal else "x0"), own)
    return attention_flash[b * heads * cdiv(queries, own["BM"])].bind(
        *heads_of(out, q, k, v), *mask_steps, heads, heads // max(shared, 1), queries, keys, width, v[0][3], scale * LOG2E, CAUSAL=causal,
        MASK=kind, PRECISION=precision, BM=own["BM"], BN=own["BN"], **widths(q, v), num_warps=own["num_warps"],
        num_stages=own["num_stages"], maxnreg=128 if precision == "ieee" else None)


def forward(precision: str, tile: tuple[int, int], out: Any, lse: Any, q: Any, k: Any, v: Any, mask: Any, causal: int, scale: float,
            *dropout: Any) -> None:
    drawn = dropped(*dropout)
    launch = plan_forward(precision, tile, q.dtype, forms(out, q, k, v, mask), bool(causal), scale, drawn[0] is not None)
    launch(out, lse, q, k, v, mask, *drawn)


@plan
def plan_decode(arrays: tuple, parts: int, causal: bool, scale: float) -> tuple[Any, Any]:
    """The launches of `decode`: parts of the keys, then their merging."""
    out, q, k, v, mask = arrays
    (b, heads, queries, width), (_, shared, keys, _) = q[0], k[0]
    group, precision, bn = heads // max(shared, 1), *(("tf32", 64) if q[2] == 2 else ("ieee", 16))
    rows, value_width, sizes = b * heads * queries, v[0][3], widths(q, v)
    kind, mask_steps = mask_of(mask)
    part = attention_part[b * shared * cdiv(group * queries, ROWS) * parts].bind(
        *heads_of(q, k, v), *mask_steps, heads, group, queries, keys, width, value_width, scale * LOG2E, parts, rows, CAUSAL=causal,
        MASK=kind, PRECISION=precision, BM=ROWS, BN=bn, **sizes, num_warps=4, num_stages=2, maxnreg=FREE)
    merge = attention_merge[cdiv(rows, 4)].bind(*heads_of(out), heads, queries, value_width, parts, rows, BM=4, DV=sizes["DV"], num_warps=4)
    return part, merge


def decode(out: Any, lse: Any, q: Any, k: Any, v: Any, mask: Any, causal: int, scale: float, workspace: Any) -> None:
    """`workspace`: (parts, queries of all heads, Ev + 2) in float32."""
    part, merge = plan_decode(forms(out, q, k, v, mask), workspace.shape[0], bool(causal), scale)
    part(workspace, q, k, v, mask)
    merge(out, lse, workspace)


rung("attention", "triton/v01_flash", "float32", writes=(0, 1))(lambda *args: forward("ieee", (32, 16), *args))
rung("attention", "triton/v02_flash_tensor_core", HALF, writes=(0, 1))(lambda *args: forward("tf32", (128, 64), *args))
rung("attention", "triton/decode", "float32 " + HALF, writes=(0, 1))(decode)


def heads_to_tune_with(dtype: Any, queries: int, keys: int, width: int, causal: int) -> list[Any]:
    """The arguments of attention without a mask or dropout: 32 heads in all, each on its own keys."""
    numbers, heads = np.random.default_rng(0), (2, 16)
    q, k, v = (numbers.standard_normal((*heads, n, width), np.float32).astype(dtype) for n in (queries, keys, keys))
    return [np.empty_like(q), np.empty((*heads, queries), np.float32), q, k, v, None, causal, width ** -0.5, 0, 0, 2**32, 1.0]


space("attention v02_flash_tensor_core", HALF, "QUERIESxKEYSxWIDTHxCAUSAL",
      tuple([(n, n, width, causal) for n in (1024, 4096) for width in (64, 128) for causal in (0, 1)]), heads_to_tune_with, results=2,
      BM=(64, 128), BN=(32, 64, 128), num_warps=(4, 8), num_stages=(2, 3))
