"""Scores of attention: tiles of heads, which pairs of query and key may meet, which weights dropout keeps; and what a plan binds of it.

Scores are in powers of two: exp(x) = 2^(x log2 e). One of -inf has weight 0. MASK: 0 for none, 1 for booleans, 2 for numbers to add.
"""
from __future__ import annotations

import numpy as np
import triton.language as tl

from ..runtime import Form, device_function, power_of_2, steps_of_form
from .philox import philox4x32_10

HALF = "float16 bfloat16"
LOG2E = 1.4426950408889634


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


@device_function
def kept(seed, block, last, query, start, keys, BN: tl.constexpr):
    # Which weights dropout keeps, of queries with these numbers (counted through batches and heads) and BN keys from `start` on:
    # word j % 4 of block j / 4 of the query decides; a query has whole blocks. (queries, BN)
    at = block + query.to(tl.int64)[:, None] * tl.cdiv(keys, 4) + (start // 4 + tl.arange(0, BN // 4))[None, :]
    a, b, c, d = philox4x32_10(seed, at)
    last = last.to(tl.uint32)
    return tl.interleave(tl.interleave(a <= last, c <= last), tl.interleave(b <= last, d <= last))


def dropped(seed: int, block: int, limit: int, factor: float) -> tuple:
    """Dropout as kernels take it: the seed, the first block, the largest word that keeps a weight, what kept ones are multiplied by."""
    return (None,) * 4 if factor == 1 else (np.int64(seed), np.int64(block), np.int64(max(limit, 1) - 1), float(factor))


def heads_of(*arrays: Form) -> list[int]:
    """The steps from batch to batch, head to head and vector to vector of each."""
    return [step for a in arrays for step in steps_of_form(a)[:3]]


def mask_of(mask: Form | None) -> tuple[int, tuple[int, ...]]:
    """(what kind it is, its steps)."""
    return (0, (0, 0, 0, 0)) if mask is None else (1 if mask[2] == 1 else 2, steps_of_form(mask))


def widths(q: Form, v: Form) -> dict[str, int]:
    """The widths of vectors as tiles have them."""
    return {"DQ": max(16, power_of_2(q[0][3])), "DV": max(16, power_of_2(v[0][3]))}
