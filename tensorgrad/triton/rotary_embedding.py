"""Rotary embedding: a program has cos and sin of some positions and goes from head to head with them.

Where pairs are interleaved a row is one piece of memory that is taken apart and put together again; where not, its halves are two.
Numbers are float32 while they are computed.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .runtime import cdiv, kernel, multiprocessors, power_of_2, rung

TILE = 1024  # pairs of a program
PROGRAMS = 16  # for each multiprocessor: more heads for each, rather than more than these


@kernel
def rotary_embedding_heads(Y, X, COS, SIN, heads, H, L, pairs, xb, xh, xl, sign, INTERLEAVED: tl.constexpr, ROWS: tl.constexpr,
                           PAIRS: tl.constexpr):
    position = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    pair = tl.arange(0, PAIRS)[None, :]
    there = (position < L) & (pair < pairs)
    cos = tl.load(COS + position * pairs + pair, mask=there, other=0.0).to(tl.float32)
    sin = tl.load(SIN + position * pairs + pair, mask=there, other=0.0).to(tl.float32) * sign
    wide = tl.zeros([1, 1], tl.int64)
    for h in range(tl.program_id(1), heads, tl.num_programs(1)):
        x = X + (wide + h // H) * xb + (wide + h % H) * xh + position * xl
        y = Y + ((wide + h) * L + position) * 2 * pairs
        if INTERLEAVED:
            i = tl.arange(0, 2 * PAIRS)[None, :]
            inside = (position < L) & (i < 2 * pairs)
            a, b = tl.split(tl.reshape(tl.load(x + i, mask=inside, other=0.0).to(tl.float32), [ROWS, PAIRS, 2]))
            turned = tl.reshape(tl.join(a * cos - b * sin, a * sin + b * cos), [ROWS, 2 * PAIRS])
            tl.store(y + i, turned.to(Y.dtype.element_ty), mask=inside)
        else:
            a = tl.load(x + pair, mask=there, other=0.0).to(tl.float32)
            b = tl.load(x + pairs + pair, mask=there, other=0.0).to(tl.float32)
            tl.store(y + pair, (a * cos - b * sin).to(Y.dtype.element_ty), mask=there)
            tl.store(y + pairs + pair, (a * sin + b * cos).to(Y.dtype.element_ty), mask=there)


@rung("rotary_embedding", "triton/v01_heads", "float32 float16 bfloat16")
def rotary_embedding(y: Any, x: Any, cos: Any, sin: Any, interleaved: int, inverse: int) -> None:
    """y (B, H, L, D) without gaps, x of any steps but for neighbouring features, tables (L, D / 2)."""
    if not x.size:
        return
    batch, h, length, features = x.shape
    heads = batch * h
    block = power_of_2(features // 2)
    rows = min(max(1, TILE // block), power_of_2(length))
    tiles = cdiv(length, rows)
    groups = min(heads, cdiv(PROGRAMS * multiprocessors(), tiles), 65535)
    rotary_embedding_heads[tiles, groups](
        y, x, cos, sin, heads, h, length, features // 2, *[s // x.itemsize for s in x.strides[:3]], -1.0 if inverse else 1.0,
        INTERLEAVED=bool(interleaved), ROWS=rows, PAIRS=block, num_warps=4)
