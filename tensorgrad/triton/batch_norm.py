"""batch_norm, group_norm and their gradients over planes (N, C, S): a program has a group, a channel of the batch or channels of a sample.

A group is `segments` rows of S neighbours, `apart` elements from one to the next: the images of a channel, or the channels of a group.
One that fits a program is read once; a larger one is read in tiles, twice: each lane keeps a mean and the squares around it (Welford),
which are merged in the end. Sums run in float32 around the group's first element, so that a large mean costs no digits. Nothing is added
by atomics. With the channels last: batch_norm_channels_last.py. Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .layer_norm import norm_sum_lines
from .runtime import cdiv, device_function, kernel, power_of_2, rung

TYPES = "float32 float16 bfloat16"
HELD = 8192  # elements of a group that a program keeps
TILE = 2048  # elements that a program takes at a time of a larger one
LONGEST = 1024  # of them in one segment


@device_function
def two_parts(mean):
    # a mean in float64 as the sum of two of float32: x - high is exact where x is near it
    high = mean.to(tl.float32)
    return high, (mean - high.to(tl.float64)).to(tl.float32)


@device_function
def moved(R, at, value, momentum, here):
    # a running statistic, nearer to `value`
    if R is not None:
        old = tl.load(R + at, mask=here, other=0.0).to(tl.float32)
        tl.store(R + at, (old + (value - old) * momentum).to(R.dtype.element_ty), mask=here)


@device_function
def joined(count, mean, squares, x, there):
    # the moments of each lane with one more value, where there is one
    count += tl.where(there, 1.0, 0.0)
    apart = tl.where(there, x - mean, 0.0)
    mean += apart / tl.maximum(count, 1.0)
    return count, mean, squares + apart * tl.where(there, x - mean, 0.0)


@device_function
def parameter(A, at, here, otherwise: tl.constexpr):
    # those of some channels as a column, or of one as a number; `otherwise` where there is no parameter
    if A is None:
        return tl.full(at.shape, otherwise, tl.float32)
    return tl.load(A + at, mask=here, other=0.0).to(tl.float32)


@kernel
def norm_group(Y, MEAN, RSTD, RUNNING_MEAN, RUNNING_VAR, X, W, B, segments, s, apart, groups, momentum, eps, GROUPED: tl.constexpr,
               KEPT: tl.constexpr, SEGMENTS: tl.constexpr, LENGTH: tl.constexpr):
    # groups: of a sample
    group = tl.program_id(0)
    start = group.to(tl.int64) * s * (segments if GROUPED else 1)
    channel = group % groups * segments if GROUPED else group
    i, j = tl.arange(0, SEGMENTS), tl.arange(0, LENGTH)
    first = tl.load(X + start).to(tl.float32)
    n = segments * 1.0 * s
    if KEPT:
        there = (i < segments)[:, None] & (j < s)[None, :]
        x = tl.load(X + start + (i.to(tl.int64) * apart)[:, None] + j[None, :], mask=there, other=0.0).to(tl.float32)
        x = tl.where(there, x - first, 0.0)
        middle = tl.sum(x) / n
        x = tl.where(there, x - middle, 0.0)
        variance = tl.sum(x * x) / n
    else:
        count, mean = tl.zeros([SEGMENTS, LENGTH], tl.float32), tl.zeros([SEGMENTS, LENGTH], tl.float32)
        squares = tl.zeros([SEGMENTS, LENGTH], tl.float32)
        for top in range(0, segments, SEGMENTS):
            for left in range(0, s, LENGTH):
                there = (top + i < segments)[:, None] & (left + j < s)[None, :]
                at = start + ((top + i).to(tl.int64) * apart)[:, None] + (left + j)[None, :]
                x = tl.load(X + at, mask=there, other=0.0).to(tl.float32)
                count, mean, squares = joined(count, mean, squares, x - first, there)
        middle = tl.sum(count * mean) / n
        variance = tl.sum(squares + count * (mean - middle) * (mean - middle)) / n
    tl.store(MEAN + group, first.to(tl.float64) + middle.to(tl.float64))
    rstd = 1.0 / tl.sqrt(variance + eps)
    tl.store(RSTD + group, rstd.to(tl.float64))
    moved(RUNNING_MEAN, group, first + middle, momentum, group >= 0)
    moved(RUNNING_VAR, group, variance * (n / tl.maximum(n - 1.0, 1.0)), momentum, group >= 0)
    for top in range(0, segments, SEGMENTS):
        here = top + i < segments
        c = channel + (top + i if GROUPED else i * 0)
        scale, shift = rstd * parameter(W, c, here, 1.0), parameter(B, c, here, 0.0)
        for left in range(0, s, LENGTH):
            there = here[:, None] & (left + j < s)[None, :]
            at = start + ((top + i).to(tl.int64) * apart)[:, None] + (left + j)[None, :]
            if not KEPT:
                x = (tl.load(X + at, mask=there, other=0.0).to(tl.float32) - first) - middle
            tl.store(Y + at, (x * scale[:, None] + shift[:, None]).to(Y.dtype.element_ty), mask=there)


@kernel
def norm_group_backward(DX, DW, DB, P, G, X, W, MEAN, RSTD, segments, s, apart, groups, GROUPED: tl.constexpr, TRAINING: tl.constexpr,
                        SUMMED: tl.constexpr, KEPT: tl.constexpr, SEGMENTS: tl.constexpr, LENGTH: tl.constexpr):
    # Where a channel belongs to a group in each sample, line n of P has the sums of sample n: of g xhat and of g, channel by channel.
    group = tl.program_id(0)
    start = group.to(tl.int64) * s * (segments if GROUPED else 1)
    channel = group % groups * segments if GROUPED else group
    i, j = tl.arange(0, SEGMENTS), tl.arange(0, LENGTH)
    high, low = two_parts(tl.load(MEAN + group))
    rstd = tl.load(RSTD + group).to(tl.float32)
    n = segments * 1.0 * s
    total, dot = tl.zeros([SEGMENTS], tl.float32), tl.zeros([SEGMENTS], tl.float32)
    g, xhat = tl.zeros([SEGMENTS, LENGTH], tl.float32), tl.zeros([SEGMENTS, LENGTH], tl.float32)
    if SUMMED:
        for top in range(0, segments, SEGMENTS):
            here = top + i < segments
            g_sums, dots = tl.zeros([SEGMENTS, LENGTH], tl.float32), tl.zeros([SEGMENTS, LENGTH], tl.float32)
            for left in range(0, s, LENGTH):
                there = here[:, None] & (left + j < s)[None, :]
                at = start + ((top + i).to(tl.int64) * apart)[:, None] + (left + j)[None, :]
                g = tl.load(G + at, mask=there, other=0.0).to(tl.float32)
                xhat = ((tl.load(X + at, mask=there, other=0.0).to(tl.float32) - high) - low) * rstd
                g_sums += g
                dots += g * xhat
            of_g, of_dots = tl.sum(g_sums, 1), tl.sum(dots, 1)
            if GROUPED:
                line = P + (group // groups).to(tl.int64) * 2 * segments * groups + channel + top + i
                tl.store(line, of_dots.to(tl.float64), mask=here)
                tl.store(line + segments * groups, of_g.to(tl.float64), mask=here)
                w = parameter(W, channel + top + i, here, 1.0)
                of_g, of_dots = of_g * w, of_dots * w
            total += tl.where(here, of_g, 0.0)
            dot += tl.where(here, of_dots, 0.0)
    total_, dot_ = tl.sum(total, 0), tl.sum(dot, 0)
    if not GROUPED:
        if DW is not None:
            tl.store(DW + group, dot_.to(DW.dtype.element_ty))
        if DB is not None:
            tl.store(DB + group, total_.to(DB.dtype.element_ty))
    if DX is not None:
        for top in range(0, segments, SEGMENTS):
            here = top + i < segments
            w = parameter(W, channel + (top + i if GROUPED else i * 0), here, 1.0)[:, None]
            for left in range(0, s, LENGTH):
                there = here[:, None] & (left + j < s)[None, :]
                at = start + ((top + i).to(tl.int64) * apart)[:, None] + (left + j)[None, :]
                if not KEPT:
                    g = tl.load(G + at, mask=there, other=0.0).to(tl.float32)
                    xhat = ((tl.load(X + at, mask=there, other=0.0).to(tl.float32) - high) - low) * rstd
                dx = g * w if GROUPED else g
                if TRAINING:
                    dx -= (total_ + xhat * dot_) / n
                tl.store(DX + at, (dx * (rstd if GROUPED else rstd * w)).to(DX.dtype.element_ty), mask=there)


@kernel
def norm_inference(Y, MEAN, RSTD, X, W, B, rows, s, channels, ROWS: tl.constexpr, LENGTH: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    j = tl.program_id(1) * LENGTH + tl.arange(0, LENGTH)
    here, c = row < rows, row % channels
    high, low = two_parts(tl.load(MEAN + c, mask=here, other=0.0))
    scale = tl.load(RSTD + c, mask=here, other=0.0).to(tl.float32) * parameter(W, c, here, 1.0)
    at, there = (row.to(tl.int64) * s)[:, None] + j[None, :], here[:, None] & (j < s)[None, :]
    x = tl.load(X + at, mask=there, other=0.0).to(tl.float32)
    y = ((x - high[:, None]) - low[:, None]) * scale[:, None] + parameter(B, c, here, 0.0)[:, None]
    tl.store(Y + at, y.to(Y.dtype.element_ty), mask=there)


def tile_of(segments: int, s: int, read_twice: bool = True) -> dict[str, Any]:
    """How a program takes a group: whole, which is worth it where it would be read twice, or some segments at a time, or pieces of them."""
    length, rows = power_of_2(s), power_of_2(segments)
    kept = read_twice and length * rows <= HELD
    if not kept:
        length = min(length, LONGEST)
        rows = min(rows, max(1, TILE // length))
    return {"KEPT": kept, "SEGMENTS": rows, "LENGTH": length, "num_warps": min(16, max(4, rows * length // 512))}


@rung("batch_norm", "triton/v03_held", TYPES, writes=(0, 1, 2, 3, 4))
def batch_norm(y: Any, mean: Any, rstd: Any, running_mean: Any, running_var: Any, x: Any, weight: Any, bias: Any, training: int,
               momentum: float, eps: float) -> None:
    n, c, s = x.shape
    if training:
        norm_group[c](y, mean, rstd, running_mean, running_var, x, weight, bias, n, s, c * s, 1, momentum, eps, GROUPED=False,
                      **tile_of(n, s))
        return
    length = min(power_of_2(s), LONGEST)
    rows = TILE // length
    norm_inference[cdiv(n * c, rows), cdiv(s, length)](y, mean, rstd, x, weight, bias, n * c, s, c, ROWS=rows, LENGTH=length, num_warps=4)


@rung("group_norm", "triton/v03_held", TYPES, writes=(0, 1, 2))
def group_norm(y: Any, mean: Any, rstd: Any, x: Any, weight: Any, bias: Any, eps: float) -> None:
    (n, groups), c, s = mean.shape, x.shape[1], x.shape[2]
    norm_group[n * groups](y, mean, rstd, None, None, x, weight, bias, c // groups, s, s, groups, 0.0, eps, GROUPED=True,
                           **tile_of(c // groups, s))


@rung("batch_norm_backward", "triton/v03_held", TYPES, writes=(0, 1, 2))
def batch_norm_backward(dx: Any, dweight: Any, dbias: Any, g: Any, x: Any, weight: Any, mean: Any, rstd: Any, training: int) -> None:
    n, c, s = x.shape
    summed = bool(training) or dweight is not None or dbias is not None
    norm_group_backward[c](dx, dweight, dbias, None, g, x, weight, mean, rstd, n, s, c * s, 1, GROUPED=False, TRAINING=bool(training),
                           SUMMED=summed, **tile_of(n, s, summed))


@rung("group_norm_backward", "triton/v03_held", TYPES, writes=(0, 1, 2, 3))
def group_norm_backward(dx: Any, dweight: Any, dbias: Any, partial: Any, g: Any, x: Any, weight: Any, mean: Any, rstd: Any) -> None:
    (n, groups), c, s = mean.shape, x.shape[1], x.shape[2]
    norm_group_backward[n * groups](dx, None, None, partial, g, x, weight, mean, rstd, c // groups, s, s, groups, GROUPED=True,
                                    TRAINING=True, SUMMED=True, **tile_of(c // groups, s))
    if dweight is not None or dbias is not None:
        norm_sum_lines[cdiv(c, 128)](dweight, dbias, partial, c, n, COLUMNS=128, num_warps=4)
