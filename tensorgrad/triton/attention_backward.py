"""The gradients of attention block by block, scores made again from lse: see attention.py.

One kernel sums over keys for a tile of queries (dq), one over the queries of all heads that share the keys for a tile of keys (dk, dv):
every result has one owner, so there are no atomics. Dropout draws again the words that the forward pass drew.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .runtime import FREE, cdiv, device_function, forms, kernel, plan, rung
from .shared.scores import HALF, LOG2E, dropped, heads_of, kept, mask_of, seen, store_vectors, vectors, widths


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
def attention_flash_dq(DQ_, L, D, G, Q, K, V, M, seed, block, kept_to, factor, db, dh, dr, gb, gh, gr, qb, qh, qr, kb, kh, kr, vb, vh, vr,
                       mb, mh, mi, mj, heads, group, queries, keys, width, value_width, scale, result_scale, CAUSAL: tl.constexpr,
                       MASK: tl.constexpr, PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, DQ: tl.constexpr, DV: tl.constexpr):
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
        dp = tl.dot(g, v.T, input_precision=PRECISION)
        if seed is not None:
            dp = tl.where(kept(seed, block, kept_to, which.to(tl.int64) * queries + i, start, keys, BN), dp * factor, 0.0)
        ds = tl.exp2(s - lse[:, None]) * (dp - delta[:, None])
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision=PRECISION)
    store_vectors(DQ_ + b * db + h * dh, dq * result_scale, first, dr, queries, width, BM, DQ)


@kernel
def attention_flash_dkv(DK, DV_, L, D, G, Q, K, V, M, seed, block, kept_to, factor, ab, ah, ar, eb, eh, er, gb, gh, gr, qb, qh, qr, kb, kh,
                        kr, vb, vh, vr, mb, mh, mi, mj, heads, group, queries, keys, width, value_width, scale, result_scale,
                        CAUSAL: tl.constexpr, MASK: tl.constexpr, PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
                        DQ: tl.constexpr, DV: tl.constexpr):
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
            used = p
            if seed is not None:
                stays = kept(seed, block, kept_to, number + i, first, keys, BN).T
                used = tl.where(stays, p, 0.0)
            dv = tl.dot(used.to(g.dtype), g, dv, input_precision=PRECISION)
            dp = tl.dot(v, g.T, input_precision=PRECISION)
            if seed is not None:
                dp = tl.where(stays, dp * factor, 0.0)
            ds = p * (dp - delta[None, :])
            dk = tl.dot(ds.to(q.dtype), q, dk, input_precision=PRECISION)
    store_vectors(DK + b * ab + kv * ah, dk * result_scale, first, ar, keys, width, BN, DQ)
    if seed is not None:
        dv *= factor
    store_vectors(DV_ + b * eb + kv * eh, dv, first, er, keys, value_width, BN, DV)


@plan
def plan_backward(precision: str, bm: int, arrays: tuple, causal: bool, scale: float, dropping: bool) -> tuple[Any, Any, Any]:
    """The launches for dq, dk, dv, g, q, k, v, out and a mask of these forms."""
    dq, dk, dv, g, q, k, v, out, mask = arrays
    (b, heads, queries, width), (_, shared, keys, _), value_width = q[0], k[0], v[0][3]
    kind, mask_steps = mask_of(mask)
    sizes, tiles = widths(q, v), cdiv(queries, bm)
    problem = heads, heads // max(shared, 1), queries, keys, width, value_width, scale * LOG2E, scale
    options = {"CAUSAL": causal, "MASK": kind, "PRECISION": precision, "BN": bm, **sizes}
    crowded = dropping and precision == "tf32"  # random words need the registers that tiles copied ahead would
    options["num_stages"] = 1 if crowded else 2
    wide = max(sizes["DQ"], sizes["DV"]) > 64 or crowded
    return (attention_delta[b * heads * tiles].bind(*heads_of(g, out), heads, queries, value_width, BM=bm, DV=sizes["DV"], num_warps=4,
                                                    maxnreg=FREE),
            attention_flash_dq[b * heads * tiles].bind(*heads_of(dq, g, q, k, v), *mask_steps, *problem, **options, BM=bm,
                                                       num_warps=8 if wide else 4),
            attention_flash_dkv[b * shared * cdiv(keys, bm)].bind(*heads_of(dk, dv, g, q, k, v), *mask_steps, *problem, **options,
                                                                  BM=bm // 2, num_warps=4 if precision == "ieee" else 8))


def backward(precision: str, bm: int, dq: Any, dk: Any, dv: Any, workspace: Any, g: Any, q: Any, k: Any, v: Any, out: Any, lse: Any,
             mask: Any, causal: int, scale: float, *dropout: Any) -> None:
    drawn = dropped(*dropout)
    delta, for_queries, for_keys = plan_backward(precision, bm, forms(dq, dk, dv, g, q, k, v, out, mask), bool(causal), scale,
                                                 drawn[0] is not None)
    delta(workspace, g, out)
    for_queries(dq, lse, workspace, g, q, k, v, mask, *drawn)
    for_keys(dk, dv, lse, workspace, g, q, k, v, mask, *drawn)


rung("attention_backward", "triton/v01_flash", "float32", writes=(0, 1, 2, 3))(lambda *args: backward("ieee", 32, *args))
rung("attention_backward", "triton/v02_flash_tensor_core", HALF, writes=(0, 1, 2, 3))(lambda *args: backward("tf32", 64, *args))
