"""layer_norm and rms_norm over rows, and the gradients of both: rows that a program keeps are read once, longer ones in pieces.

Sums run in float32 around the row's first element, so that a large mean costs no digits; mean and rstd are kept in float64 (there is no
mean for rms_norm). Backward a program takes row after row and keeps its share of dweight and dbias, which a last kernel adds in one order.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .runtime import cdiv, device_function, kernel, power_of_2, rung

TYPES = "float32 float16 bfloat16"
HELD = 8192  # numbers of a row that a program keeps
TILE = 2048  # numbers a program takes at a time of short rows and of long ones


@device_function
def scaled(y, W, B, column, there):
    if W is not None:
        y = y * tl.load(W + column, mask=there, other=0.0).to(tl.float32)[None, :]
    if B is not None:
        y = y + tl.load(B + column, mask=there, other=0.0).to(tl.float32)[None, :]
    return y


@device_function
def centred(x, MEAN, rstd, row, here):
    # xhat = (x - mean) rstd; the mean is taken off in two parts, which hold more digits than one
    if MEAN is None:
        return x * rstd[:, None]
    mean = tl.load(MEAN + row, mask=here, other=0.0)
    high = mean.to(tl.float32)
    low = (mean - high.to(tl.float64)).to(tl.float32)
    return ((x - high[:, None]) - low[:, None]) * rstd[:, None]


@kernel
def norm_held(Y, MEAN, RSTD, X, W, B, rows, n, eps, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row, column = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS), tl.arange(0, BLOCK)
    here = row < rows
    there = here[:, None] & (column < n)[None, :]
    at = row[:, None] * n + column[None, :]
    x = tl.load(X + at, mask=there, other=0.0).to(tl.float32)
    if MEAN is not None:
        first = tl.load(X + row * n, mask=here, other=0.0).to(tl.float32)
        x = tl.where(there, x - first[:, None], 0.0)
        mean = tl.sum(x, 1) / n
        x = tl.where(there, x - mean[:, None], 0.0)
        tl.store(MEAN + row, first.to(tl.float64) + mean.to(tl.float64), mask=here)
    rstd = 1.0 / tl.sqrt(tl.sum(x * x, 1) / n + eps)
    tl.store(RSTD + row, rstd.to(tl.float64), mask=here)
    tl.store(Y + at, scaled(x * rstd[:, None], W, B, column, column < n).to(Y.dtype.element_ty), mask=there)


@kernel
def norm_long(Y, MEAN, RSTD, X, W, B, n, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    start, column = row * n, tl.arange(0, BLOCK)
    shift = tl.zeros([1], tl.float32)
    if MEAN is not None:
        first = tl.load(X + start).to(tl.float32)
        total = tl.zeros([BLOCK], tl.float32)
        for at in range(0, n, BLOCK):
            x = tl.load(X + start + at + column, mask=at + column < n, other=0.0).to(tl.float32)
            total += tl.where(at + column < n, x - first, 0.0)
        mean = tl.sum(total, 0) / n
        tl.store(MEAN + row, first.to(tl.float64) + mean.to(tl.float64))
        shift = shift + first
    total = tl.zeros([BLOCK], tl.float32)
    for at in range(0, n, BLOCK):
        x = tl.load(X + start + at + column, mask=at + column < n, other=0.0).to(tl.float32)
        if MEAN is not None:
            x = tl.where(at + column < n, (x - shift) - mean, 0.0)
        total += x * x
    rstd = 1.0 / tl.sqrt(tl.sum(total, 0) / n + eps)
    tl.store(RSTD + row, rstd.to(tl.float64))
    for at in range(0, n, BLOCK):
        there = at + column < n
        x = tl.load(X + start + at + column, mask=there, other=0.0).to(tl.float32)
        if MEAN is not None:
            x = (x - shift) - mean
        y = scaled((x * rstd)[None, :], W, B, at + column, there)
        tl.store(Y + start + at + column[None, :], y.to(Y.dtype.element_ty), mask=there[None, :])


@kernel
def norm_backward_held(DX, P, G, X, W, MEAN, RSTD, rows, n, WANTED: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    # WANTED: whether dweight or dbias is
    column = tl.arange(0, BLOCK)
    inside = column < n
    w = tl.full([BLOCK], 1.0, tl.float32) if W is None else tl.load(W + column, mask=inside, other=0.0).to(tl.float32)
    dweight, dbias = tl.zeros([ROWS, BLOCK], tl.float32), tl.zeros([ROWS, BLOCK], tl.float32)
    for start in range(tl.program_id(0) * ROWS, rows, tl.num_programs(0) * ROWS):
        row = (start + tl.arange(0, ROWS)).to(tl.int64)
        here = row < rows
        there = here[:, None] & inside[None, :]
        at = row[:, None] * n + column[None, :]
        g = tl.load(G + at, mask=there, other=0.0).to(tl.float32)
        rstd = tl.load(RSTD + row, mask=here, other=0.0).to(tl.float32)
        xhat = tl.where(there, centred(tl.load(X + at, mask=there, other=0.0).to(tl.float32), MEAN, rstd, row, here), 0.0)
        if WANTED:
            dweight += g * xhat
            dbias += g
        if DX is not None:
            gw = g * w[None, :]
            dx = gw - xhat * (tl.sum(gw * xhat, 1) / n)[:, None]
            if MEAN is not None:
                dx -= (tl.sum(gw, 1) / n)[:, None]
            tl.store(DX + at, (dx * rstd[:, None]).to(DX.dtype.element_ty), mask=there)
    if WANTED:
        line = P + tl.program_id(0).to(tl.int64) * 2 * n
        tl.store(line + column, tl.sum(dweight, 0).to(tl.float64), mask=inside)
        tl.store(line + n + column, tl.sum(dbias, 0).to(tl.float64), mask=inside)


@kernel
def norm_backward_long(DX, G, X, W, MEAN, RSTD, n, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) + tl.arange(0, 1)
    here, column = row >= 0, tl.arange(0, BLOCK)
    rstd = tl.load(RSTD + row).to(tl.float32)
    dot, total = tl.zeros([1, BLOCK], tl.float32), tl.zeros([1, BLOCK], tl.float32)
    for start in range(0, n, BLOCK):
        there = (start + column < n)[None, :]
        at = row[:, None] * n + start + column[None, :]
        gw = scaled(tl.load(G + at, mask=there, other=0.0).to(tl.float32), W, None, start + column, start + column < n)
        dot += gw * centred(tl.load(X + at, mask=there, other=0.0).to(tl.float32), MEAN, rstd, row, here)
        total += gw
    dots, totals = tl.sum(dot, 1) / n, tl.sum(total, 1) / n
    for start in range(0, n, BLOCK):
        there = (start + column < n)[None, :]
        at = row[:, None] * n + start + column[None, :]
        gw = scaled(tl.load(G + at, mask=there, other=0.0).to(tl.float32), W, None, start + column, start + column < n)
        xhat = centred(tl.load(X + at, mask=there, other=0.0).to(tl.float32), MEAN, rstd, row, here)
        dx = gw - xhat * dots[:, None]
        if MEAN is not None:
            dx -= totals[:, None]
        tl.store(DX + at, (dx * rstd[:, None]).to(DX.dtype.element_ty), mask=there)


@kernel
def norm_backward_columns(P, G, X, MEAN, RSTD, rows, n, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < n
    dweight, dbias = tl.zeros([ROWS, COLUMNS], tl.float32), tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(tl.program_id(1) * ROWS, rows, tl.num_programs(1) * ROWS):
        row = (start + tl.arange(0, ROWS)).to(tl.int64)
        here = row < rows
        there = here[:, None] & inside[None, :]
        at = row[:, None] * n + column[None, :]
        g = tl.load(G + at, mask=there, other=0.0).to(tl.float32)
        rstd = tl.load(RSTD + row, mask=here, other=0.0).to(tl.float32)
        dweight += g * centred(tl.load(X + at, mask=there, other=0.0).to(tl.float32), MEAN, rstd, row, here)
        dbias += g
    line = P + tl.program_id(1).to(tl.int64) * 2 * n
    tl.store(line + column, tl.sum(dweight, 0).to(tl.float64), mask=inside)
    tl.store(line + n + column, tl.sum(dbias, 0).to(tl.float64), mask=inside)


@kernel
def norm_sum_lines(DW, DB, P, n, lines, COLUMNS: tl.constexpr):
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < n
    dweight, dbias = tl.zeros([COLUMNS], tl.float64), tl.zeros([COLUMNS], tl.float64)  # the interpreter makes no bfloat16 of these
    for _ in range(lines):  # always in one order
        dweight += tl.load(P + column, mask=inside, other=0.0)
        dbias += tl.load(P + n + column, mask=inside, other=0.0)
        P += 2 * n
    if DW is not None:
        tl.store(DW + column, dweight.to(tl.float32).to(DW.dtype.element_ty), mask=inside)
    if DB is not None:
        tl.store(DB + column, dbias.to(tl.float32).to(DB.dtype.element_ty), mask=inside)


def tile_of(n: int) -> tuple[int, int, int]:
    """(rows, columns, warps) of a program whose rows have n numbers."""
    block = power_of_2(n)
    return max(1, min(8, TILE // block)), block, 4 if block <= TILE else 8


def norm(y: Any, mean: Any, rstd: Any, x: Any, weight: Any, bias: Any, eps: float) -> None:
    rows, n = x.shape
    if not x.size:
        return
    if n <= HELD:
        each, block, warps = tile_of(n)
        norm_held[cdiv(rows, each)](y, mean, rstd, x, weight, bias, rows, n, eps, ROWS=each, BLOCK=block, num_warps=warps)
    else:
        norm_long[rows](y, mean, rstd, x, weight, bias, n, eps, BLOCK=TILE, num_warps=8)


@rung("rms_norm", "triton/v02_persistent", TYPES, writes=(0, 1))
def rms_norm(y: Any, rstd: Any, x: Any, weight: Any, eps: float) -> None:
    norm(y, None, rstd, x, weight, None, eps)


@rung("norm_backward", "triton/v02_persistent", TYPES, writes=(0, 1, 2, 3))
def norm_backward(dx: Any, dweight: Any, dbias: Any, partial: Any, g: Any, x: Any, weight: Any, mean: Any, rstd: Any) -> None:
    (rows, n), lines = x.shape, partial.shape[0]
    wanted = dweight is not None or dbias is not None
    if not n:
        return
    if n <= HELD:
        each, block, warps = tile_of(n)
        norm_backward_held[lines](dx, partial, g, x, weight, mean, rstd, rows, n, WANTED=wanted, ROWS=each, BLOCK=block, num_warps=warps)
    else:
        if dx is not None:
            norm_backward_long[rows](dx, g, x, weight, mean, rstd, n, BLOCK=TILE, num_warps=8)
        if wanted:
            norm_backward_columns[cdiv(n, 128), lines](partial, g, x, mean, rstd, rows, n, ROWS=8, COLUMNS=128, num_warps=4)
    if wanted:
        norm_sum_lines[cdiv(n, 128)](dweight, dbias, partial, n, lines, COLUMNS=128, num_warps=4)


rung("layer_norm", "triton/v02_persistent", TYPES, writes=(0, 1, 2))(norm)
