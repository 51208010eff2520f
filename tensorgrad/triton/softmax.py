"""softmax and log_softmax along a dimension, forward and backward: rows, and the columns where neighbours in memory are of different rows.

As on the CUDA C++ side a formula is a sum along the row and an update of each element. Numbers are float32 while they are computed.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .runtime import cdiv, kernel, power_of_2, rung
from .shared.softmax import part, prepared, result

FORMULAS = ("softmax", "log_softmax", "softmax_backward", "log_softmax_backward")
TYPES = "float32 float16 bfloat16"
HELD = 8192  # numbers of a row that a program keeps
TILE = 2048  # numbers a program takes at a time of short rows and of long ones


@kernel
def softmax_held(Y, A, B, rows, n, FORMULA: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    at = row[:, None] * n + column[None, :]
    there = (row < rows)[:, None] & (column < n)[None, :]
    a = tl.load(A + at, mask=there, other=-float("inf") if B is None else 0.0).to(tl.float32)
    b = a if B is None else tl.load(B + at, mask=there, other=0.0).to(tl.float32)
    top = tl.max(a, 1) if B is None else tl.zeros([ROWS], tl.float32)
    total = tl.sum(part(a, b, top[:, None], FORMULA), 1)
    y = result(a, b, top[:, None], prepared(total, FORMULA)[:, None], FORMULA)
    tl.store(Y + at, y.to(Y.dtype.element_ty), mask=there)


@kernel
def softmax_online(Y, A, B, n, FORMULA: tl.constexpr, BLOCK: tl.constexpr):
    first = tl.program_id(0).to(tl.int64) * n
    top = tl.full([BLOCK], -float("inf"), tl.float32)  # of the numbers each lane has met
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, n, BLOCK):
        column = start + tl.arange(0, BLOCK)
        a = tl.load(A + first + column, mask=column < n, other=-float("inf") if B is None else 0.0).to(tl.float32)
        b = a if B is None else tl.load(B + first + column, mask=column < n, other=0.0).to(tl.float32)
        if B is None:
            higher = tl.maximum(top, a)
            total = total * tl.where(top == higher, 1.0, tl.exp(top - higher))
            top = higher
        total += part(a, b, top, FORMULA)
    if B is None:
        highest = tl.max(top, 0)
        total = total * tl.where(top == highest, 1.0, tl.exp(top - highest))
    else:
        highest = 0.0
    s = prepared(tl.sum(total, 0), FORMULA)
    for start in range(0, n, BLOCK):
        column = start + tl.arange(0, BLOCK)
        a = tl.load(A + first + column, mask=column < n, other=0.0).to(tl.float32)
        b = a if B is None else tl.load(B + first + column, mask=column < n, other=0.0).to(tl.float32)
        tl.store(Y + first + column, result(a, b, highest, s, FORMULA).to(Y.dtype.element_ty), mask=column < n)


@kernel
def softmax_columns(Y, A, B, n, inner, blocks, FORMULA: tl.constexpr, LENGTH: tl.constexpr, COLUMNS: tl.constexpr):
    program = tl.program_id(0)
    column = program % blocks * COLUMNS + tl.arange(0, COLUMNS)
    first = (program // blocks).to(tl.int64) * n * inner + column[None, :]
    top = tl.full([LENGTH, COLUMNS], -float("inf"), tl.float32)
    total = tl.zeros([LENGTH, COLUMNS], tl.float32)
    for start in range(0, n, LENGTH):
        i = start + tl.arange(0, LENGTH)
        at = first + i[:, None].to(tl.int64) * inner
        there = (i < n)[:, None] & (column < inner)[None, :]
        a = tl.load(A + at, mask=there, other=-float("inf") if B is None else 0.0).to(tl.float32)
        b = a if B is None else tl.load(B + at, mask=there, other=0.0).to(tl.float32)
        if B is None:
            higher = tl.maximum(top, a)
            total = total * tl.where(top == higher, 1.0, tl.exp(top - higher))
            top = higher
        total += part(a, b, top, FORMULA)
    if B is None:
        highest = tl.max(top, 0)[None, :]
        total = total * tl.where(top == highest, 1.0, tl.exp(top - highest))
    else:
        highest = tl.zeros([1, COLUMNS], tl.float32)
    s = prepared(tl.sum(total, 0), FORMULA)[None, :]
    for start in range(0, n, LENGTH):
        i = start + tl.arange(0, LENGTH)
        at = first + i[:, None].to(tl.int64) * inner
        there = (i < n)[:, None] & (column < inner)[None, :]
        a = tl.load(A + at, mask=there, other=0.0).to(tl.float32)
        b = a if B is None else tl.load(B + at, mask=there, other=0.0).to(tl.float32)
        tl.store(Y + at, result(a, b, highest, s, FORMULA).to(Y.dtype.element_ty), mask=there)


def rows(formula: str, y: Any, a: Any, b: Any, outer: int, n: int, inner: int) -> None:
    """Rows whose numbers are neighbours: read once where a program keeps them, else twice."""
    if inner > 1:
        columns(formula, y, a, b, outer, n, inner)
    elif 0 < n <= HELD:
        block = power_of_2(n)
        each = max(1, TILE // block)
        softmax_held[cdiv(outer, each)](y, a, b, outer, n, FORMULA=formula, ROWS=each, BLOCK=block, num_warps=4 if block <= TILE else 8)
    elif n:
        softmax_online[outer](y, a, b, n, FORMULA=formula, BLOCK=TILE, num_warps=8)


def columns(formula: str, y: Any, a: Any, b: Any, outer: int, n: int, inner: int) -> None:
    """Columns: a program takes 32 neighbours, from each of them some numbers at a time."""
    if n:
        blocks = cdiv(inner, 32)
        softmax_columns[outer * blocks](y, a, b, n, inner, blocks, FORMULA=formula, LENGTH=32, COLUMNS=32, num_warps=4)


def _register(formula: str) -> None:
    for path, launch in (("triton/v03_online", rows), ("triton/v04_columns", columns)):
        if formula.endswith("backward"):
            rung(formula, path, TYPES)(lambda dx, g, y, *sizes, launch=launch: launch(formula, dx, g, y, *sizes))
        else:
            rung(formula, path, TYPES)(lambda y, x, *sizes, launch=launch: launch(formula, y, x, None, *sizes))


for _formula in FORMULAS:
    _register(_formula)
