"""Dropout: which elements stay is a function of the seed and of the element's number, the words that every other device draws.

Word i of the Philox stream decides about element i (`drop`, and `drop_add`, which adds a bias before and the residual stream behind it
in the same pass), or about row i where whole channels are dropped. Backward draws the words again.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import triton.language as tl

from .runtime import cdiv, device_function, kernel, power_of_2, rung
from .shared.philox import philox4x32_10, stretch

TYPES = "float32 float16 bfloat16"
FOURS = 256  # blocks of four words that a program makes
TILE = 2048  # elements a program takes of rows that share a word


@device_function
def four_each(seed, block):
    # The words of blocks of the stream, one after the other.
    a, b, c, d = philox4x32_10(seed, block)
    return tl.interleave(tl.interleave(a, c), tl.interleave(b, d))


@device_function
def dropped(x, word, last, on, plus, minus):
    # x on + plus where the word is at most `last`, else x 0 + minus, with one rounding
    keep = word <= last.to(tl.uint32)
    return tl.fma(x, tl.where(keep, on, 0.0), tl.where(keep, plus, minus))


@kernel
def drop_elements(Y, X, seed, first, last, n, on, plus, minus, BLOCKS: tl.constexpr):
    seed, first = stretch(seed, first)
    block = tl.program_id(0).to(tl.int64) * BLOCKS
    i = block * 4 + tl.arange(0, 4 * BLOCKS)
    x = tl.load(X + i, mask=i < n, other=0.0).to(tl.float32)
    y = dropped(x, four_each(seed, first + block + tl.arange(0, BLOCKS)), last, on, plus, minus)
    tl.store(Y + i, y.to(Y.dtype.element_ty), mask=i < n)


@kernel
def drop_rows(Y, X, seed, first, last, rows, run, on, plus, minus, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    seed, first = stretch(seed, first)
    across = tl.cdiv(run, BLOCK)
    row = (tl.program_id(0) // across).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(0) % across * BLOCK + tl.arange(0, BLOCK)
    a, b, c, d = philox4x32_10(seed, first + (row >> 2))
    word = tl.where((row & 2) == 0, tl.where((row & 1) == 0, a, b), tl.where((row & 1) == 0, c, d))
    at, there = row[:, None] * run + column[None, :], (row < rows)[:, None] & (column < run)[None, :]
    x = tl.load(X + at, mask=there, other=0.0).to(tl.float32)
    tl.store(Y + at, dropped(x, word[:, None], last, on, plus, minus).to(Y.dtype.element_ty), mask=there)


@kernel
def drop_add_elements(Y, X, RESIDUAL, BIAS, seed, first, last, size, n, on, BLOCKS: tl.constexpr):
    seed, first = stretch(seed, first)
    block = tl.program_id(0).to(tl.int64) * BLOCKS
    i = block * 4 + tl.arange(0, 4 * BLOCKS)
    x = tl.load(X + i, mask=i < size, other=0.0).to(tl.float32)
    if BIAS is not None:
        column = ((block * 4 % n).to(tl.int32) + tl.arange(0, 4 * BLOCKS)) % n
        x += tl.load(BIAS + column).to(tl.float32)
    y = dropped(x, four_each(seed, first + block + tl.arange(0, BLOCKS)), last, on, 0.0, 0.0)
    y += tl.load(RESIDUAL + i, mask=i < size, other=0.0).to(tl.float32)
    tl.store(Y + i, y.to(Y.dtype.element_ty), mask=i < size)


def stream(seed: int, first_block: int, limit: int) -> tuple[Any, ...]:
    """The numbers that say what is drawn and kept, words below `limit`: another kind of call for none of their values."""
    return np.int64(seed), np.int64(first_block), np.int64(max(limit, 1) - 1)


@rung("drop", "triton/v00_philox", TYPES)
def drop(y: Any, x: Any, seed: int, first_block: int, limit: int, scale: float, shift: float, other: float) -> None:
    rows, run = x.shape
    if not x.size:
        return
    kept = (scale, shift, other) if limit else (0.0, other, other)
    if run == 1:
        drop_elements[cdiv(rows, 4 * FOURS)](y, x, *stream(seed, first_block, limit), rows, *kept, BLOCKS=FOURS, num_warps=4)
    else:
        block = min(power_of_2(run), TILE)
        each = TILE // block
        drop_rows[cdiv(rows, each) * cdiv(run, block)](y, x, *stream(seed, first_block, limit), rows, run, *kept, ROWS=each, BLOCK=block,
                                                      num_warps=4)


@rung("drop_add", "triton/v01_residual", TYPES)
def drop_add(y: Any, x: Any, residual: Any, bias: Any, seed: int, first_block: int, limit: int, scale: float) -> None:
    if x.size:
        drop_add_elements[cdiv(x.size, 4 * FOURS)](y, x, residual, bias, *stream(seed, first_block, limit), x.size, x.shape[1],
                                                  scale if limit else 0.0, BLOCKS=FOURS, num_warps=4)
