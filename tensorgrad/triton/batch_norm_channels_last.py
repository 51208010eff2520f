"""batch_norm, group_norm and their gradients over rows of channels (R, C), the memory of images whose channels come last.

For batch_norm all rows are one sample and a group is one channel. A program goes down the rows of a chunk with a tile of channels, made
of whole groups: each lane keeps a mean and the squares around it (Welford), merged over the rows and then over the channels of a group.
A batch is cut into chunks, whose moments another kernel merges in their order; a sample of group_norm is one chunk. A last kernel writes
the result. So x is read twice. Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .batch_norm import TYPES, joined, moved, parameter, two_parts
from .layer_norm import norm_sum_lines
from .runtime import cdiv, device_function, kernel, power_of_2, rung

TILE = 2048  # numbers that a program takes at a time
ACROSS = 64  # channels of a tile of small groups


@device_function
def channels_of(tile, channels, PER: tl.constexpr, WIDTH: tl.constexpr, COLUMNS: tl.constexpr):
    # (channels, their groups, whether they are there) of a tile: a group of PER takes WIDTH columns, a power of two
    column = tl.arange(0, COLUMNS)
    group = tile * (COLUMNS // WIDTH) + column // WIDTH
    c = group * PER + column % WIDTH
    return c, group, (column % WIDTH < PER) & (c < channels)


@device_function
def over_groups(value, WIDTH: tl.constexpr, COLUMNS: tl.constexpr):
    # each column gets the sum over those of its group
    if WIDTH == 1:
        return value
    sums = tl.sum(tl.reshape(value, [COLUMNS // WIDTH, WIDTH]), 1)
    return tl.reshape(tl.broadcast_to(sums[:, None], [COLUMNS // WIDTH, WIDTH]), [COLUMNS])


@kernel
def norm_rows_moments(P, MEAN, RSTD, X, rows, chunks, step, channels, eps, PER: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr,
                      COLUMNS: tl.constexpr):
    # rows: of a sample; step: of a chunk. With P a chunk leaves its means, relative to the first row, and squares: line by line.
    sample, chunk = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    c, group, inside = channels_of(tl.program_id(1), channels, PER, WIDTH, COLUMNS)
    start = sample.to(tl.int64) * rows
    first = tl.load(X + start * channels + group * PER, mask=inside, other=0.0).to(tl.float32)
    count, mean = tl.zeros([ROWS, COLUMNS], tl.float32), tl.zeros([ROWS, COLUMNS], tl.float32)
    squares = tl.zeros([ROWS, COLUMNS], tl.float32)
    last = tl.minimum(chunk * step + step, rows)
    for top in range(chunk * step, last, ROWS):
        row = top + tl.arange(0, ROWS)
        there = (row < last)[:, None] & inside[None, :]
        x = tl.load(X + (start + row)[:, None] * channels + c[None, :], mask=there, other=0.0).to(tl.float32)
        count, mean, squares = joined(count, mean, squares, x - first[None, :], there)
    n = tl.maximum(over_groups(tl.sum(count, 0), WIDTH, COLUMNS), 1.0)
    middle = over_groups(tl.sum(count * mean, 0), WIDTH, COLUMNS) / n
    apart = mean - middle[None, :]
    total = over_groups(tl.sum(squares + count * apart * apart, 0), WIDTH, COLUMNS)
    once = inside & (c == group * PER)
    if P is not None:
        line = P + chunk.to(tl.int64) * 2 * channels
        tl.store(line + c, middle, mask=once)
        tl.store(line + channels + c, total, mask=once)
    else:
        at = sample * (channels // PER) + group
        tl.store(MEAN + at, first.to(tl.float64) + middle.to(tl.float64), mask=once)
        tl.store(RSTD + at, (1.0 / tl.sqrt(total / n + eps)).to(tl.float64), mask=once)


@kernel
def norm_rows_merge(MEAN, RSTD, RUNNING_MEAN, RUNNING_VAR, P, X, rows, step, channels, lines, momentum, eps, COLUMNS: tl.constexpr):
    c = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    inside = c < channels
    count, mean, squares = 0.0, tl.zeros([COLUMNS], tl.float32), tl.zeros([COLUMNS], tl.float32)
    for line in range(lines):  # always in one order
        more = tl.maximum(tl.minimum(rows - line * step, step), 0).to(tl.float32)
        apart = tl.load(P + c, mask=inside, other=0.0) - mean
        share = more / tl.maximum(count + more, 1.0)
        squares += tl.load(P + channels + c, mask=inside, other=0.0) + apart * apart * (count * share)
        mean += apart * share
        count += more
        P += 2 * channels
    first, variance = tl.load(X + c, mask=inside, other=0.0).to(tl.float32), squares / rows
    tl.store(MEAN + c, first.to(tl.float64) + mean.to(tl.float64), mask=inside)
    tl.store(RSTD + c, (1.0 / tl.sqrt(variance + eps)).to(tl.float64), mask=inside)
    moved(RUNNING_MEAN, c, first + mean, momentum, inside)
    moved(RUNNING_VAR, c, variance * (rows / (rows - 1.0)), momentum, inside)


@kernel
def norm_rows_apply(Y, MEAN, RSTD, X, W, B, rows, blocks, channels, PER: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    # blocks: tiles of rows of a sample
    sample = tl.program_id(0) // blocks
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.program_id(0) % blocks * ROWS + tl.arange(0, ROWS)
    inside, group = c < channels, sample * (channels // PER) + c // PER
    high, low = two_parts(tl.load(MEAN + group, mask=inside, other=0.0))
    scale = tl.load(RSTD + group, mask=inside, other=0.0).to(tl.float32) * parameter(W, c, inside, 1.0)
    at = (sample.to(tl.int64) * rows + row)[:, None] * channels + c[None, :]
    there = (row < rows)[:, None] & inside[None, :]
    x = tl.load(X + at, mask=there, other=0.0).to(tl.float32)
    y = ((x - high[None, :]) - low[None, :]) * scale[None, :] + parameter(B, c, inside, 0.0)[None, :]
    tl.store(Y + at, y.to(Y.dtype.element_ty), mask=there)


@kernel
def norm_rows_sums(P, G, X, MEAN, RSTD, rows, chunks, step, channels, PER: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    # Line by line of P, a sample's or a chunk's: the sums of g xhat and of g.
    sample, chunk = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    c = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside, group = c < channels, sample * (channels // PER) + c // PER
    high, low = two_parts(tl.load(MEAN + group, mask=inside, other=0.0))
    rstd = tl.load(RSTD + group, mask=inside, other=0.0).to(tl.float32)
    total, dot = tl.zeros([ROWS, COLUMNS], tl.float32), tl.zeros([ROWS, COLUMNS], tl.float32)
    last = tl.minimum(chunk * step + step, rows)
    for top in range(chunk * step, last, ROWS):
        row = top + tl.arange(0, ROWS)
        there = (row < last)[:, None] & inside[None, :]
        at = (sample.to(tl.int64) * rows + row)[:, None] * channels + c[None, :]
        g = tl.load(G + at, mask=there, other=0.0).to(tl.float32)
        x = tl.load(X + at, mask=there, other=0.0).to(tl.float32)
        total += g
        dot += g * (((x - high[None, :]) - low[None, :]) * rstd[None, :])
    line = P + (sample + chunk).to(tl.int64) * 2 * channels  # there are several of the one, or of the other
    tl.store(line + c, tl.sum(dot, 0).to(P.dtype.element_ty), mask=inside)
    tl.store(line + channels + c, tl.sum(total, 0).to(P.dtype.element_ty), mask=inside)


@kernel
def norm_rows_dx(DX, P, G, X, W, MEAN, RSTD, rows, blocks, channels, TRAINING: tl.constexpr, PER: tl.constexpr, WIDTH: tl.constexpr,
                 ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    # Line n of P: the sums of g xhat and of g over sample n.
    sample = tl.program_id(0) // blocks
    c, group, inside = channels_of(tl.program_id(1), channels, PER, WIDTH, COLUMNS)
    row = tl.program_id(0) % blocks * ROWS + tl.arange(0, ROWS)
    group = sample * (channels // PER) + group
    w = parameter(W, c, inside, 1.0)
    rstd = tl.load(RSTD + group, mask=inside, other=0.0).to(tl.float32)
    at = (sample.to(tl.int64) * rows + row)[:, None] * channels + c[None, :]
    there = (row < rows)[:, None] & inside[None, :]
    dx = tl.load(G + at, mask=there, other=0.0).to(tl.float32) * w[None, :]
    if TRAINING:
        high, low = two_parts(tl.load(MEAN + group, mask=inside, other=0.0))
        line, n = P + sample.to(tl.int64) * 2 * channels + c, rows * 1.0 * PER
        dot = over_groups(tl.load(line, mask=inside, other=0.0).to(tl.float32) * w, WIDTH, COLUMNS) / n
        total = over_groups(tl.load(line + channels, mask=inside, other=0.0).to(tl.float32) * w, WIDTH, COLUMNS) / n
        x = tl.load(X + at, mask=there, other=0.0).to(tl.float32)
        dx -= total[None, :] + ((x - high[None, :]) - low[None, :]) * (rstd * dot)[None, :]
    tl.store(DX + at, (dx * rstd[None, :]).to(DX.dtype.element_ty), mask=there)


def tile_of(channels: int, per: int) -> dict[str, int]:
    """Tiles of whole groups, and how many rows at a time."""
    width = power_of_2(per)
    columns = max(width, min(ACROSS, power_of_2(channels // per) * width))
    return {"PER": per, "WIDTH": width, "ROWS": max(1, TILE // columns), "COLUMNS": columns}


def plain(channels: int, per: int) -> dict[str, int]:
    """Tiles of neighbouring channels, whose groups need not be whole."""
    columns = min(ACROSS, power_of_2(channels))
    return {"PER": per, "ROWS": TILE // columns, "COLUMNS": columns}


def grid(tile: dict[str, int], channels: int, of_samples: int) -> tuple[int, int]:
    """A program for each of the chunks or tiles of rows of all samples, and for each tile of a row."""
    each = tile["COLUMNS"] // tile["WIDTH"] * tile["PER"] if "WIDTH" in tile else tile["COLUMNS"]
    return of_samples, cdiv(channels, each)


def applied(y: Any, mean: Any, rstd: Any, x: Any, weight: Any, bias: Any, samples: int, per: int) -> None:
    """The result, once the statistics are known."""
    c, rows, tile = x.shape[1], x.shape[0] // samples, plain(x.shape[1], per)
    blocks = cdiv(rows, tile["ROWS"])
    norm_rows_apply[grid(tile, c, samples * blocks)](y, mean, rstd, x, weight, bias, rows, blocks, c, num_warps=4, **tile)


def differentiated(dx: Any, sums: Any, g: Any, x: Any, weight: Any, mean: Any, rstd: Any, training: bool, samples: int, per: int) -> None:
    """dx, once the sums of each sample are known."""
    c, rows, tile = x.shape[1], x.shape[0] // samples, tile_of(x.shape[1], per)
    blocks = cdiv(rows, tile["ROWS"])
    norm_rows_dx[grid(tile, c, samples * blocks)](dx, sums, g, x, weight, mean, rstd, rows, blocks, c, TRAINING=training, num_warps=4,
                                                  **tile)


@rung("batch_norm", "triton/v02_channels_last", TYPES, writes=(0, 1, 2, 3, 4))
def batch_norm(y: Any, mean: Any, rstd: Any, running_mean: Any, running_var: Any, x: Any, weight: Any, bias: Any, training: int,
               momentum: float, eps: float, partial: Any) -> None:
    (rows, c), lines, tile = x.shape, partial.shape[0] - 1, tile_of(x.shape[1], 1)
    if training:
        step = cdiv(rows, lines)
        norm_rows_moments[grid(tile, c, lines)](partial, mean, rstd, x, rows, lines, step, c, eps, num_warps=4, **tile)
        norm_rows_merge[cdiv(c, 128)](mean, rstd, running_mean, running_var, partial, x, rows, step, c, lines, momentum, eps, COLUMNS=128,
                                      num_warps=4)
    applied(y, mean, rstd, x, weight, bias, 1, 1)


@rung("group_norm", "triton/v02_channels_last", TYPES, writes=(0, 1, 2))
def group_norm(y: Any, mean: Any, rstd: Any, x: Any, weight: Any, bias: Any, eps: float) -> None:
    (n, groups), c = mean.shape, x.shape[1]
    rows, tile = x.shape[0] // n, tile_of(c, c // groups)
    norm_rows_moments[grid(tile, c, n)](None, mean, rstd, x, rows, 1, rows, c, eps, num_warps=4, **tile)
    applied(y, mean, rstd, x, weight, bias, n, c // groups)


@rung("batch_norm_backward", "triton/v02_channels_last", TYPES, writes=(0, 1, 2))
def batch_norm_backward(dx: Any, dweight: Any, dbias: Any, g: Any, x: Any, weight: Any, mean: Any, rstd: Any, training: int,
                        partial: Any) -> None:
    (rows, c), lines, tile = x.shape, partial.shape[0] - 1, plain(x.shape[1], 1)
    sums = partial[lines:]
    if training or dweight is not None or dbias is not None:
        norm_rows_sums[grid(tile, c, lines)](partial, g, x, mean, rstd, rows, lines, cdiv(rows, lines), c, num_warps=4, **tile)
        norm_sum_lines[cdiv(c, 128)](sums[0, 0], sums[0, 1], partial, c, lines, COLUMNS=128, num_warps=4)
    if dweight is not None or dbias is not None:
        norm_sum_lines[cdiv(c, 128)](dweight, dbias, sums, c, 1, COLUMNS=128, num_warps=4)
    if dx is not None:
        differentiated(dx, sums, g, x, weight, mean, rstd, bool(training), 1, 1)


@rung("group_norm_backward", "triton/v02_channels_last", TYPES, writes=(0, 1, 2, 3))
def group_norm_backward(dx: Any, dweight: Any, dbias: Any, partial: Any, g: Any, x: Any, weight: Any, mean: Any, rstd: Any) -> None:
    (n, groups), c = mean.shape, x.shape[1]
    rows, tile = x.shape[0] // n, plain(c, c // groups)
    norm_rows_sums[grid(tile, c, n)](partial, g, x, mean, rstd, rows, 1, rows, c, num_warps=4, **tile)
    if dweight is not None or dbias is not None:
        norm_sum_lines[cdiv(c, 128)](dweight, dbias, partial, c, n, COLUMNS=128, num_warps=4)
    if dx is not None:
        differentiated(dx, partial, g, x, weight, mean, rstd, True, n, c // groups)
