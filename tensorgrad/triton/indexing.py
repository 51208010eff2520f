"""Rows by their numbers: picked from a table, added up where numbers say, multiplied pair by pair.

`add_rows` (the gradient of an embedding, the bags of embedding_bag) adds entries sorted by place, in one order: always the same bits, and
no atomics. Sums are float64, those of half precision float32, as on the CUDA C++ side.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .runtime import cdiv, device_function, kernel, power_of_2, rung

TYPES = "float32 float64 float16 bfloat16"
TILE = 2048  # elements of a program
ENTRIES = 8  # that a program has under way at a time


@kernel
def pick_rows(Y, X, INDEX, rows, n, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    across = tl.cdiv(n, BLOCK)
    row = (tl.program_id(0) // across).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(0) % across * BLOCK + tl.arange(0, BLOCK)
    there = (row < rows)[:, None] & (column < n)[None, :]
    source = tl.load(INDEX + row, mask=row < rows, other=0)
    tl.store(Y + row[:, None] * n + column[None, :], tl.load(X + source[:, None] * n + column[None, :], mask=there), mask=there)


@device_function
def sum_of_entries(X, ORDER, FROM, SCALE, begin, end, column, n, WIDE: tl.constexpr, ENTRIES: tl.constexpr, BLOCK: tl.constexpr):
    # Of entries order[begin] to order[end]: the rows they name, times their scales, in some columns.
    total = tl.zeros([ENTRIES, BLOCK], tl.float64 if WIDE else tl.float32)
    for q in range(begin, end, ENTRIES):
        i = q + tl.arange(0, ENTRIES)
        p = tl.load(ORDER + i, mask=i < end, other=0)
        source = p if FROM is None else tl.load(FROM + p, mask=i < end, other=0)
        x = tl.load(X + source[:, None] * n + column[None, :], mask=(i < end)[:, None] & (column < n)[None, :], other=0.0).to(total.dtype)
        if SCALE is not None:
            x = x * tl.load(SCALE + p, mask=i < end, other=0.0).to(total.dtype)[:, None]
        total += x
    return tl.sum(total, 0)


@kernel
def add_runs(Y, FIRST, ORDER, X, FROM, SCALE, n, WIDE: tl.constexpr, ENTRIES: tl.constexpr, BLOCK: tl.constexpr):
    across = tl.cdiv(n, BLOCK)
    row = (tl.program_id(0) // across).to(tl.int64)
    column = tl.program_id(0) % across * BLOCK + tl.arange(0, BLOCK)
    total = sum_of_entries(X, ORDER, FROM, SCALE, tl.load(FIRST + row), tl.load(FIRST + row + 1), column, n, WIDE, ENTRIES, BLOCK)
    tl.store(Y + row * n + column, total.to(Y.dtype.element_ty), mask=column < n)


@kernel
def add_pieces(Y, PARTS, PIECES, ORDER, X, FROM, SCALE, n, WIDE: tl.constexpr, ENTRIES: tl.constexpr, BLOCK: tl.constexpr):
    # A piece is (begin, end, place, row of PARTS or -1).
    across = tl.cdiv(n, BLOCK)
    piece = PIECES + (tl.program_id(0) // across).to(tl.int64) * 4
    column = tl.program_id(0) % across * BLOCK + tl.arange(0, BLOCK)
    place, part = tl.load(piece + 2), tl.load(piece + 3)
    total = sum_of_entries(X, ORDER, FROM, SCALE, tl.load(piece), tl.load(piece + 1), column, n, WIDE, ENTRIES, BLOCK)
    if part < 0:
        tl.store(Y + place * n + column, total.to(Y.dtype.element_ty), mask=column < n)
    else:
        tl.store(PARTS + part * n + column, total.to(tl.float64), mask=column < n)


@kernel
def add_parts(Y, PARTS, SEVERAL, n, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    # A place of several pieces is (place, first row of PARTS, how many).
    across = tl.cdiv(n, BLOCK)
    merge = SEVERAL + (tl.program_id(0) // across).to(tl.int64) * 3
    column = tl.program_id(0) % across * BLOCK + tl.arange(0, BLOCK)
    at = PARTS + tl.load(merge + 1) * n + column
    total = tl.zeros([BLOCK], tl.float64 if WIDE else tl.float32)
    for _ in range(tl.load(merge + 2)):  # always in one order
        total += tl.load(at, mask=column < n, other=0.0).to(total.dtype)
        at += n
    tl.store(Y + tl.load(merge) * n + column, total.to(Y.dtype.element_ty), mask=column < n)


@kernel
def largest_of_runs(Y, AT, FIRST, ORDER, X, FROM, n, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    # The largest of each column among a place's entries, and the row it is from: the first of equal ones, NaN before all; else 0 and -1.
    across = tl.cdiv(n, BLOCK)
    row = (tl.program_id(0) // across).to(tl.int64)
    column = tl.program_id(0) % across * BLOCK + tl.arange(0, BLOCK)
    best, place = tl.zeros([BLOCK], tl.float64 if WIDE else tl.float32), tl.full([BLOCK], -1, tl.int64)
    for q in range(tl.load(FIRST + row), tl.load(FIRST + row + 1)):
        source = tl.load(FROM + tl.load(ORDER + q))
        x = tl.load(X + source * n + column, mask=column < n, other=0.0).to(best.dtype)
        better = (place < 0) | (x > best) | ((x != x) & (best == best))
        best, place = tl.where(better, x, best), tl.where(better, source, place)
    tl.store(Y + row * n + column, best.to(Y.dtype.element_ty), mask=column < n)
    tl.store(AT + row * n + column, place, mask=column < n)


@kernel
def row_products(Y, A, B, FIRST, SECOND, count, n, WIDE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    p = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    here = p < count
    first, second = tl.load(FIRST + p, mask=here, other=0), tl.load(SECOND + p, mask=here, other=0)
    total = tl.zeros([ROWS, BLOCK], tl.float64 if WIDE else tl.float32)
    for start in range(0, n, BLOCK):
        column = start + tl.arange(0, BLOCK)
        there = here[:, None] & (column < n)[None, :]
        a = tl.load(A + first[:, None] * n + column[None, :], mask=there, other=0.0).to(total.dtype)
        total += a * tl.load(B + second[:, None] * n + column[None, :], mask=there, other=0.0).to(total.dtype)
    tl.store(Y + p, tl.sum(total, 1).to(Y.dtype.element_ty), mask=here)


def tile_of(rows: int, n: int, most: int = TILE) -> tuple[int, int]:
    """Rows and columns of a program's tile."""
    block = min(power_of_2(n), most)
    return min(most // block, power_of_2(rows)), block


@rung("embedding", "triton/pick", TYPES)
def embedding(y: Any, table: Any, index: Any) -> None:
    if y.size:
        rows, n = y.shape
        each, block = tile_of(rows, n)
        pick_rows[cdiv(rows, each) * cdiv(n, block)](y, table, index, rows, n, ROWS=each, BLOCK=block, num_warps=4)


@rung("add_rows", "triton/v01_sorted", TYPES)
def add_rows_sorted(y: Any, first: Any, order: Any, x: Any, source: Any, target: Any, scale: Any) -> None:
    if y.size:
        rows, n = y.shape
        _, block = tile_of(1, n, 256)
        add_runs[rows * cdiv(n, block)](y, first, order, x, source, scale, n, WIDE=y.itemsize > 2, ENTRIES=ENTRIES, BLOCK=block,
                                        num_warps=4)


@rung("add_rows", "triton/v02_pieces", TYPES)
def add_rows_in_pieces(y: Any, first: Any, order: Any, x: Any, source: Any, target: Any, scale: Any, parts: Any, pieces: Any,
                       several: Any) -> None:
    if y.size:
        n = y.shape[1]
        _, block = tile_of(1, n, 256)
        across = cdiv(n, block)
        add_pieces[len(pieces) * across](y, parts, pieces, order, x, source, scale, n, WIDE=y.itemsize > 2, ENTRIES=ENTRIES, BLOCK=block,
                                         num_warps=4)
        add_parts[len(several) * across](y, parts, several, n, WIDE=y.itemsize > 2, BLOCK=block, num_warps=4)


@rung("bag_max", "triton/v01_sorted", TYPES, writes=(0, 1))
def bag_max(y: Any, at: Any, first: Any, order: Any, x: Any, source: Any, target: Any) -> None:
    if y.size:
        rows, n = y.shape
        _, block = tile_of(1, n, 256)
        largest_of_runs[rows * cdiv(n, block)](y, at, first, order, x, source, n, WIDE=y.itemsize > 4, BLOCK=block, num_warps=4)


@rung("row_dots", "triton/row_dots", TYPES)
def row_dots(y: Any, a: Any, b: Any, first: Any, second: Any) -> None:
    if y.size:
        each, block = tile_of(y.size, a.shape[1], 1024)
        row_products[cdiv(y.size, each)](y, a, b, first, second, y.size, a.shape[1], WIDE=y.itemsize > 2, ROWS=each, BLOCK=block,
                                         num_warps=4)
