"""The gradient of a convolution's weight: a small matrix, summed over all pixels of the batch, in parts.

M counts output channels, N what a patch holds (channels fastest), K pixels. Too few tiles for a GPU: the sum is cut into parts, computed
side by side into memory in float32, and a second kernel adds them up in one order. Rungs as in conv2d.py.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .matmul import HALF, tile_of
from .runtime import FREE, cdiv, kernel, rung, steps
from .shared.patches import channels_last, forward_lines, grouped, numbers_of, pixel_of, place_in, tap_of
from .shared.tiles import place_of_tile

ENOUGH, MOST_PARTS, LEAST_PIXELS = 512, 64, 512  # programs that keep a GPU busy; parts; pixels in one


@kernel
def conv2d_weight_grad_tile(D, G, X, part_step, dg, dr, dc, di, dj, gn, gc, gh, gw, xn, xc, xh, xw, pixels, span, rows, channels, image_h,
                            image_w, grid_h, grid_w, taps_h, taps_w, step_h, step_w, start_h, start_w, tap_h, tap_w,
                            PRECISION: tl.constexpr, WHOLE: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    depth = taps_h * taps_w * channels
    tiles = tl.cdiv(rows, BM) * tl.cdiv(depth, BN)
    group = tl.program_id(0) // tiles
    r, k = place_of_tile(tl.program_id(0) % tiles, rows, depth, BM, BN)
    row = (r + tl.arange(0, BM))[:, None]
    if WHOLE:  # BN divides the channels: a tile is of one tap
        first_c, i, j = tap_of(k, channels, taps_w)
        c = tl.max_contiguous(tl.multiple_of(first_c + tl.arange(0, BN), BN), BN)[None, :]  # Triton 3.6 does not see it
    else:
        c, i, j = tap_of((k + tl.arange(0, BN))[None, :], channels, taps_w)
    filled = (k + tl.arange(0, BN))[None, :] < depth
    total = tl.zeros([BM, BN], tl.float32)
    begin = tl.program_id(1) * span
    for first in range(begin, tl.minimum(pixels, begin + span), BK):
        q = first + tl.arange(0, BK)
        n, py, px = pixel_of(q, grid_h, grid_w)
        g = tl.load(place_in(G, n[None, :], group * rows + row, py[None, :], px[None, :], gn, gc, gh, gw),
                    mask=(row < rows) & (q < pixels)[None, :], other=0.0)
        y, x = (py * step_h + start_h)[:, None] + i * tap_h, (px * step_w + start_w)[:, None] + j * tap_w
        inside = filled & (q < pixels)[:, None] & (y >= 0) & (y < image_h) & (x >= 0) & (x < image_w)
        patch = tl.load(place_in(X, n[:, None], group * channels + c, y, x, xn, xc, xh, xw), mask=inside, other=0.0)
        total = tl.dot(g, patch, total, input_precision=PRECISION)
    at = tl.program_id(1).to(tl.int64) * part_step + group * dg + row * dr + (c * dc + i * di + j * dj)
    tl.store(D + at, total.to(D.dtype.element_ty), mask=(row < rows) & filled)


@kernel
def conv2d_sum_parts(D, P, count, size, channels, taps_h, taps_w, ADD: tl.constexpr, BLOCK: tl.constexpr):
    t = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    depth = channels * taps_h * taps_w
    c, i, j = tap_of(t % depth, channels, taps_w)
    to = D + (t // depth * depth + (c * taps_h + i) * taps_w + j)
    total = tl.load(to, mask=t < size, other=0.0).to(tl.float32) if ADD else tl.zeros([BLOCK], tl.float32)
    at = P + t
    for _ in range(count):  # always in one order
        total += tl.load(at, mask=t < size, other=0.0)
        at += size
    tl.store(to, total.to(D.dtype.element_ty), mask=t < size)


def parts_of(pixels: int, tiles: int, size: int, room: int) -> int:
    """How many parts the sum is cut into; depends on the shapes and the workspace only."""
    return max(1, min(ENOUGH // max(tiles, 1), pixels // LEAST_PIXELS, MOST_PARTS, room // max(size, 1)))


def weight_grad(precision: str, dw: Any, gy: Any, x: Any, scratch: Any, *options: int) -> None:
    """The sum over pixels, in parts where there are many of them."""
    groups, rows, channels, taps_h, taps_w = (d := grouped(dw, options[6])).shape
    lines = forward_lines(x, dw, gy, options)
    pixels, depth = gy.shape[0] * gy.shape[2] * gy.shape[3], channels * taps_h * taps_w
    if dw.size >= 1 << 31:
        raise ValueError(f"conv2d_weight_grad: a weight of shape {dw.shape} has more elements than Triton's kernels count, 2^31 - 1")
    ieee = precision == "ieee"
    bm, bn = tile_of(rows, depth, (64, 64) if ieee else (128, 128))
    bn = next((b for b in (bn, bn // 2, bn // 4) if b >= 16 and channels % b == 0), bn)
    whole = channels % bn == 0
    chunked = whole and channels_last(gy) and channels_last(x)  # else places of single numbers need registers
    bn, step = (bn, 128 // dw.itemsize) if chunked else (min(bn, 64), 32)
    step = 16 if ieee else step
    tiles = cdiv(rows, bm) * cdiv(depth, bn) * groups
    count = parts_of(pixels, tiles, dw.size, scratch.size)
    span = cdiv(cdiv(pixels, count), step) * step
    to = d
    if count > 1:
        to = scratch[: count * dw.size].reshape(count, groups, rows, taps_h, taps_w, channels)[0].transpose(0, 1, 4, 2, 3)
    conv2d_weight_grad_tile[tiles, count](
        to, gy, x, dw.size, *steps(to), *steps(gy), *steps(x), pixels, span, rows, channels, *numbers_of(*lines), PRECISION=precision,
        WHOLE=whole, BM=bm, BN=bn, BK=step, num_warps=8, num_stages=3, **({"maxnreg": FREE} if ieee else {}))
    if count > 1:
        conv2d_sum_parts[cdiv(dw.size, 256)](dw, scratch, count, dw.size, channels, taps_h, taps_w, ADD=False, BLOCK=256, num_warps=4)


for _path, _types, _precision in (("triton/v02_implicit", "float32", "ieee"), ("triton/v03_tensor_core", HALF, "tf32"),
                                  ("triton/v03_tensor_core_tf32", "float32", "tf32")):
    rung("conv2d_weight_grad", _path, _types)(lambda *args, precision=_precision: weight_grad(precision, *args))
