"""Scores of attention: tiles of heads, and which pairs of query and key may meet.

Scores are in powers of two: exp(x) = 2^(x log2 e). One of -inf has weight 0. MASK: 0 for none, 1 for booleans, 2 for numbers to add.
"""
from __future__ import annotations

import triton.language as tl

from ..runtime import device_function


@device_function
def vectors(X, first, step, number, width, EDGE: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    # ROWS vectors from `first` on, `number` of them there are, zeros after that.
    row, element = first + tl.arange(0, ROWS), tl.arange(0, WIDTH)
    at = X + row.to(tl.int64)[:, None] * step + element[None, :]
    there = (row < number)[:, None] & (element < width)[None, :] if EDGE else (element < width)[None, :]
    return tl.load(at, mask=there, other=0.0)


@device_function
def store_vectors(X, values, first, step, number, width, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    row, element = first + tl.arange(0, ROWS), tl.arange(0, WIDTH)
    at = X + row.to(tl.int64)[:, None] * step + element[None, :]
    tl.store(at, values.to(X.dtype.element_ty), mask=(row < number)[:, None] & (element < width)[None, :])


@device_function
def seen(s, i, j, M, mi, mj, queries, keys, CAUSAL: tl.constexpr, MASK: tl.constexpr, EDGE: tl.constexpr):
    # The scores with what a query may not see at -inf; i and j are queries and keys, along either dimension.
    inside = (i < queries) & (j < keys)
    if MASK:
        m = tl.load(M + i.to(tl.int64) * mi + j.to(tl.int64) * mj, mask=inside, other=0)
        if MASK == 1:
            s = tl.where(m != 0, s, -float("inf"))
        else:
            s += m.to(tl.float32) * 1.4426950408889634
    if EDGE:
        s = tl.where(inside & (j <= i) if CAUSAL else inside, s, -float("inf"))
    return s
