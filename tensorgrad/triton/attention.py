"""Attention block by block, forward and backward: softmax(scale q k^T + mask) v, scores never in memory, several heads on one of the keys.

Dao, "FlashAttention-2", arXiv:2307.08691. `v01_flash` is for float32, as it is; `v02_flash_tensor_core` for halves, whose weights are
rounded to a half for the second product. Backward, one kernel sums over keys for a tile of queries (dq), one over the queries of all heads
that share the keys for a tile of keys (dk, dv): every result has one owner, so there are no atomics.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .runtime import FREE, cdiv, device_function, kernel, power_of_2, rung, steps
from .shared.scores import seen, store_vectors, vectors

HALF = "float16 bfloat16"
LOG2E = 1.4426950408889634


@device_function
def attend(total, top, share, q, K, V, i, first, last, M, mi, mj, kr, vr, queries, keys, width, value_width, scale, CAUSAL: tl.constexpr,
           MASK: tl.constexpr, EDGE: tl.constexpr, PRECISION: tl.constexpr, BN: tl.constexpr, DQ: tl.constexpr, DV: tl.constexpr):
    # Keys from `first` to `last`: their share in the sum of values, with the largest score and the sum of weights so far.
    for start in range(first, last, BN):
        k = vectors(K, start, kr, keys, width, EDGE, BN, DQ)
        s = tl.dot(q, k.T, input_precision=PRECISION) * scale
        s = seen(s, i[:, None], (start + tl.arange(0, BN))[None, :], M, mi, mj, queries, keys, CAUSAL, MASK, EDGE)
        higher = tl.maximum(top, tl.max(s, 1))
        base = tl.where(higher == -float("inf"), 0.0, higher)
        p = tl.exp2(s - base[:, None])
        less = tl.exp2(top - base)
        v = vectors(V, start, vr, keys, value_width, EDGE, BN, DV)
        total = tl.dot(p.to(v.dtype), v, total * less[:, None], input_precision=PRECISION)
        share = share * less + tl.sum(p, 1)
        top = higher
    return total, top, share


@kernel
def attention_flash(Out, L, Q, K, V, M, ob, oh, or_, qb, qh, qr, kb, kh, kr, vb, vh, vr, mb, mh, mi, mj, heads, group, queries, keys,
                    width, value_width, scale, CAUSAL: tl.constexpr, MASK: tl.constexpr, PRECISION: tl.constexpr, BM: tl.constexpr,
                    BN: tl.constexpr, DQ: tl.constexpr, DV: tl.constexpr):
    tiles = tl.cdiv(queries, BM)
    which = tl.program_id(0) % tl.cdiv(tl.num_programs(0), tiles)
    first = (tiles - 1 - tl.program_id(0) // tl.cdiv(tl.num_programs(0), tiles)) * BM  # under a causal mask the last tile is the longest
    b, h = (which // heads).to(tl.int64), which % heads
    kv = (h // group).to(tl.int64)
    i = first + tl.arange(0, BM)
    q = vectors(Q + b * qb + h.to(tl.int64) * qh, first, qr, queries, width, True, BM, DQ)
    K += b * kb + kv * kh
    V += b * vb + kv * vh
    if MASK:
        M += b * mb + h.to(tl.int64) * mh
    total = tl.zeros([BM, DV], tl.float32)
    top, share = tl.full([BM], -float("inf"), tl.float32), tl.zeros([BM], tl.float32)
    last = tl.minimum(keys, first + BM) if CAUSAL else keys
    whole = (tl.minimum(keys, first) if CAUSAL else keys) // BN * BN  # keys of blocks that every query sees
    total, top, share = attend(total, top, share, q, K, V, i, 0, whole, M, mi, mj, kr, vr, queries, keys, width, value_width, scale, CAUSAL,
                               MASK, False, PRECISION, BN, DQ, DV)
    total, top, share = attend(total, top, share, q, K, V, i, whole, last, M, mi, mj, kr, vr, queries, keys, width, value_width, scale,
                               CAUSAL, MASK, True, PRECISION, BN, DQ, DV)
    total = total / tl.where(share == 0.0, 1.0, share)[:, None]  # a query that sees nothing has zeros
    store_vectors(Out + b * ob + h.to(tl.int64) * oh, total, first, or_, queries, value_width, BM, DV)
    tl.store(L + which.to(tl.int64) * queries + i, (top + tl.log2(share)) * 0.6931471805599453, mask=i < queries)


@kernel
def attention_delta(D, G, Out, gb, gh, gr, ob, oh, or_, heads, queries, value_width, BM: tl.constexpr, DV: tl.constexpr):
    tiles = tl.cdiv(queries, BM)
    which, first = tl.program_id(0) // tiles, tl.program_id(0) % tiles * BM
    b, h = (which // heads).to(tl.int64), (which % heads).to(tl.int64)
    g = vectors(G + b * gb + h * gh, first, gr, queries, value_width, True, BM, DV).to(tl.float32)
    o = vectors(Out + b * ob + h * oh, first, or_, queries, value_width, True, BM, DV).to(tl.float32)
    i = first + tl.arange(0, BM)
    tl.store(D + which.to(tl.int64) * queries + i, tl.sum(g * o, 1), mask=i < queries)


@device_function
def statistics(L, D, i, queries):
    # lse in powers of two, and delta; a query that saw nothing (lse = -inf) must have no weights, so its lse is +inf here
    lse = tl.load(L + i, mask=i < queries, other=-float("inf"))
    return tl.where(lse == -float("inf"), float("inf"), lse * 1.4426950408889634), tl.load(D + i, mask=i < queries, other=0.0)


@kernel
def attention_flash_dq(DQ_, L, D, G, Q, K, V, M, db, dh, dr, gb, gh, gr, qb, qh, qr, kb, kh, kr, vb, vh, vr, mb, mh, mi, mj, heads, group,
                       queries, keys, width, value_width, scale, result_scale, CAUSAL: tl.constexpr, MASK: tl.constexpr,
                       PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, DQ: tl.constexpr, DV: tl.constexpr):
    tiles = tl.cdiv(queries, BM)
    which, first = tl.program_id(0) // tiles, tl.program_id(0) % tiles * BM
    b, h = (which // heads).to(tl.int64), which % heads
    kv = (h // group).to(tl.int64)
    i = first + tl.arange(0, BM)
    h = h.to(tl.int64)
    q = vectors(Q + b * qb + h * qh, first, qr, queries, width, True, BM, DQ)
    g = vectors(G + b * gb + h * gh, first, gr, queries, value_width, True, BM, DV)
    lse, delta = statistics(L + which.to(tl.int64) * queries, D + which.to(tl.int64) * queries, i, queries)
    K += b * kb + kv * kh
    V += b * vb + kv * vh
    if MASK:
        M += b * mb + h * mh
    dq = tl.zeros([BM, DQ], tl.float32)
    for start in range(0, tl.minimum(keys, first + BM) if CAUSAL else keys, BN):
        k = vectors(K, start, kr, keys, width, True, BN, DQ)
        v = vectors(V, start, vr, keys, value_width, True, BN, DV)
        s = tl.dot(q, k.T, input_precision=PRECISION) * scale
        s = seen(s, i[:, None], (start + tl.arange(0, BN))[None, :], M, mi, mj, queries, keys, CAUSAL, MASK, True)
        ds = tl.exp2(s - lse[:, None]) * (tl.dot(g, v.T, input_precision=PRECISION) - delta[:, None])
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision=PRECISION)
    store_vectors(DQ_ + b * db + h * dh, dq * result_scale, first, dr, queries, width, BM, DQ)


@kernel
def attention_flash_dkv(DK, DV_, L, D, G, Q, K, V, M, ab, ah, ar, eb, eh, er, gb, gh, gr, qb, qh, qr, kb, kh, kr, vb, vh, vr, mb, mh, mi,
                        mj, heads, group, queries, keys, width, value_width, scale, result_scale, CAUSAL: tl.constexpr, MASK: tl.constexpr,
                        PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, DQ: tl.constexpr, DV: tl.constexpr):
    tiles, shared = tl.cdiv(keys, BN), heads // group
    which, first = tl.program_id(0) // tiles, tl.program_id(0) % tiles * BN
    b, kv = (which // shared).to(tl.int64), (which % shared).to(tl.int64)
    j = first + tl.arange(0, BN)
    k = vectors(K + b * kb + kv * kh, first, kr, keys, width, True, BN, DQ)
    v = vectors(V + b * vb + kv * vh, first, vr, keys, value_width, True, BN, DV)
    dk, dv = tl.zeros([BN, DQ], tl.float32), tl.zeros([BN, DV], tl.float32)
    for h in range(which % shared * group, which % shared * group + group):
        for start in range(first // BM * BM if CAUSAL else 0, queries, BM):  # no earlier query sees these keys
            i = start + tl.arange(0, BM)
            head = 0 * b + h  # in 64 bits
            number = (b * heads + head) * queries
            lse, delta = statistics(L + number, D + number, i, queries)
            q = vectors(Q + b * qb + head * qh, start, qr, queries, width, True, BM, DQ)
            g = vectors(G + b * gb + head * gh, start, gr, queries, value_width, True, BM, DV)
            s = tl.dot(k, q.T, input_precision=PRECISION) * scale  # (keys, queries)
            s = seen(s, i[None, :], j[:, None], M if MASK == 0 else M + b * mb + head * mh, mi, mj, queries, keys, CAUSAL, MASK, True)
            p = tl.exp2(s - lse[None, :])
            dv = tl.dot(p.to(g.dtype), g, dv, input_precision=PRECISION)
            ds = p * (tl.dot(v, g.T, input_precision=PRECISION) - delta[None, :])
            dk = tl.dot(ds.to(q.dtype), q, dk, input_precision=PRECISION)
    store_vectors(DK + b * ab + kv * ah, dk * result_scale, first, ar, keys, width, BN, DQ)
    store_vectors(DV_ + b * eb + kv * eh, dv, first, er, keys, value_width, BN, DV)


def heads_of(*arrays: Any) -> list[int]:
    """The steps from batch to batch, head to head and vector to vector of each."""
    return [step for a in arrays for step in steps(a)[:3]]


def mask_of(mask: Any) -> tuple[int, tuple[int, ...]]:
    """(what kind it is, its steps)."""
    if mask is None:
        return 0, (0, 0, 0, 0)
    return (1 if mask.dtype.kind == "b" else 2), steps(mask)


def widths(q: Any, v: Any) -> dict[str, int]:
    """The widths of vectors as tiles have them."""
    return {"DQ": max(16, power_of_2(q.shape[3])), "DV": max(16, power_of_2(v.shape[3]))}


def forward(precision: str, tile: tuple[int, int], out: Any, lse: Any, q: Any, k: Any, v: Any, mask: Any, causal: int,
            scale: float) -> None:
    (b, heads, queries, width), keys = q.shape, k.shape[2]
    bm, bn = tile
    kind, mask_steps = mask_of(mask)
    if out.size or lse.size:
        attention_flash[b * heads * cdiv(queries, bm)](
            out, lse, q, k, v, mask, *heads_of(out, q, k, v), *mask_steps, heads, heads // max(k.shape[1], 1), queries, keys, width,
            v.shape[3], scale * LOG2E, CAUSAL=bool(causal), MASK=kind, PRECISION=precision, BM=bm, BN=bn, **widths(q, v), num_warps=8,
            num_stages=2, maxnreg=128 if precision == "ieee" else None)


def backward(precision: str, bm: int, dq: Any, dk: Any, dv: Any, workspace: Any, g: Any, q: Any, k: Any, v: Any, out: Any, lse: Any,
             mask: Any, causal: int, scale: float) -> None:
    (b, heads, queries, width), (shared, keys), value_width = q.shape, k.shape[1:3], v.shape[3]
    kind, mask_steps = mask_of(mask)
    sizes = widths(q, v)
    tiles = cdiv(queries, bm)
    attention_delta[b * heads * tiles](workspace, g, out, *heads_of(g, out), heads, queries, value_width, BM=bm, DV=sizes["DV"],
                                       num_warps=4, maxnreg=FREE)
    problem = heads, heads // max(shared, 1), queries, keys, width, value_width, scale * LOG2E, scale
    options = {"CAUSAL": bool(causal), "MASK": kind, "PRECISION": precision, "BN": bm, **sizes, "num_stages": 2}
    wide = max(sizes["DQ"], sizes["DV"]) > 64
    attention_flash_dq[b * heads * tiles](dq, lse, workspace, g, q, k, v, mask, *heads_of(dq, g, q, k, v), *mask_steps, *problem, **options,
                                          BM=bm, num_warps=8 if wide else 4)
    attention_flash_dkv[b * shared * cdiv(keys, bm)](dk, dv, lse, workspace, g, q, k, v, mask, *heads_of(dk, dv, g, q, k, v), *mask_steps,
                                                     *problem, **options, BM=bm // 2,
                                                     num_warps=4 if precision == "ieee" else 8)


# The last four arguments are for dropout, which these do not have: the ops refuse them where there is any.
rung("attention", "triton/v01_flash", "float32", writes=(0, 1))(lambda *args: forward("ieee", (32, 16), *args[:-4]))
rung("attention", "triton/v02_flash_tensor_core", HALF, writes=(0, 1))(lambda *args: forward("tf32", (128, 64), *args[:-4]))
rung("attention_backward", "triton/v01_flash", "float32", writes=(0, 1, 2, 3))(lambda *args: backward("ieee", 32, *args[:-4]))
rung("attention_backward", "triton/v02_flash_tensor_core", HALF, writes=(0, 1, 2, 3))(lambda *args: backward("tf32", 64, *args[:-4]))
