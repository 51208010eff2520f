"""Convolution as products of matrices that are never in memory: tiles of patches are gathered from the images, forward and to the input.

M counts pixels, N output channels, K a patch with its channels fastest. `triton/v02_implicit` multiplies float32 as it is,
`triton/v03_tensor_core` halves, its `_tf32` rung rounds float32 for the tensor cores. Any memory layout, stride, padding, dilation, groups;
made for channels that lie last. In the gradient of the input pixels that are a stride apart are a convolution of their own: no product
with zero is computed. conv2d_weight_grad.py has the other gradient.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .matmul import HALF, tile_of
from .runtime import FREE, Form, Laid, cdiv, forms, kernel, plan, rung, steps, steps_of_form
from .shared.epilogue import activate
from .shared.patches import (
    Line,
    channels_last,
    coalesced,
    forward_lines,
    grouped,
    grouped_form,
    numbers_of,
    phases,
    pixel_of,
    place_in,
    tap_of,
    weight_steps,
)
from .shared.tiles import place_of_tile


@kernel
def conv2d_tile(Y, X, W, Bias, Scale, Shift, R, yn, yc, yh, yw, xn, xc, xh, xw, wg, wr, wc, wi, wj, rn, rc, rh, rw, pixels, rows, channels,
                image_h, image_w, grid_h, grid_w, taps_h, taps_w, step_h, step_w, start_h, start_w, tap_h, tap_w, ACTIVATION: tl.constexpr,
                PRECISION: tl.constexpr, WHOLE: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    tiles = tl.cdiv(pixels, BM) * tl.cdiv(rows, BN)
    group = tl.program_id(0) // tiles
    m, r = place_of_tile(tl.program_id(0) % tiles, pixels, rows, BM, BN)
    q, row = (m + tl.arange(0, BM))[:, None], (r + tl.arange(0, BN))[None, :]
    n, py, px = pixel_of(q, grid_h, grid_w)
    top, left = py * step_h + start_h, px * step_w + start_w
    weight = W + group.to(tl.int64) * wg + row.to(tl.int64) * wr
    total = tl.zeros([BM, BN], tl.float32)
    for first in range(0, taps_h * taps_w * channels, BK):
        k = first + tl.arange(0, BK)
        if WHOLE:  # BK divides the channels: one tap a step
            first_c, i, j = tap_of(first, channels, taps_w)
            c = tl.max_contiguous(tl.multiple_of(first_c + tl.arange(0, BK), BK), BK)  # Triton 3.6 does not see it
            y, x = top + i * tap_h, left + j * tap_w  # (BM, 1)
            at_tap = i * wi + j * wj
            filled = row < rows
        else:
            c, i, j = tap_of(k, channels, taps_w)
            y, x = top + (i * tap_h)[None, :], left + (j * tap_w)[None, :]
            at_tap = (i * wi + j * wj)[:, None]
            filled = (row < rows) & (k < taps_h * taps_w * channels)[:, None]
        inside = (q < pixels) & (y >= 0) & (y < image_h) & (x >= 0) & (x < image_w)
        if not WHOLE:
            inside = inside & (k < taps_h * taps_w * channels)[None, :]
        a = tl.load(place_in(X, n, (group * channels + c)[None, :], y, x, xn, xc, xh, xw), mask=inside, other=0.0)
        b = tl.load(weight + (at_tap + c[:, None].to(tl.int64) * wc), mask=filled, other=0.0)
        total = tl.dot(a, b, total, input_precision=PRECISION)
    channel = group * rows + row
    there = (q < pixels) & (row < rows)
    if Bias is not None:
        total += tl.load(Bias + channel, mask=row < rows, other=0.0).to(tl.float32)
    if Scale is not None:
        total *= tl.load(Scale + channel, mask=row < rows, other=0.0).to(tl.float32)
    if Shift is not None:
        total += tl.load(Shift + channel, mask=row < rows, other=0.0).to(tl.float32)
    if R is not None:
        total += tl.load(place_in(R, n, channel, py, px, rn, rc, rh, rw), mask=there, other=0.0).to(tl.float32)
    tl.store(place_in(Y, n, channel, py, px, yn, yc, yh, yw), activate(total, ACTIVATION).to(Y.dtype.element_ty), mask=there)


@kernel
def conv2d_pack_weight(P, W, wg, wr, wc, wi, wj, size, rows, channels, taps_h, taps_w, BLOCK: tl.constexpr):
    t = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    line = t // (channels * taps_h * taps_w)
    c, i, j = tap_of(t % (channels * taps_h * taps_w), channels, taps_w)
    at = W + (line // rows).to(tl.int64) * wg + (line % rows).to(tl.int64) * wr + c.to(tl.int64) * wc
    w = tl.load(at + (i * wi + j * wj), mask=t < size)
    tl.store(P + t, w, mask=t < size)


def packed(w: Any, scratch: Any) -> Any:
    """A weight (groups, rows, channels, taps, taps) with its channels last in memory, where there is room for that."""
    groups, rows, channels, taps_h, taps_w = w.shape
    room = scratch.view(w.dtype)
    if coalesced(w) or room.size < w.size or w.size >= 1 << 31:
        return w
    to = room[: w.size]
    conv2d_pack_weight[cdiv(w.size, 1024)](to, w, *steps(w), w.size, rows, channels, taps_h, taps_w, BLOCK=1024, num_warps=4)
    return to.reshape(groups, rows, taps_h, taps_w, channels).transpose(0, 1, 4, 2, 3)


def depth_of_step(channels: int, most: int) -> tuple[int, bool]:
    """How much of a patch a step takes, and whether that is of one tap."""
    whole = next((k for k in (64, 32, 16) if k <= most and channels % k == 0), 0)
    return (whole, True) if whole else (min(most, 32), False)


@plan
def plan_patches(precision: str, arrays: tuple, residual: Form | None, activation: int, rows: Line, columns: Line) -> Any:
    """The launch of a sum over patches for output, image and weight (groups, rows, channels, taps, taps) of these forms."""
    y, x, w = (Laid(*form) for form in arrays)
    groups, outputs, channels = w.shape[:3]
    pixels = y.shape[0] * y.shape[2] * y.shape[3]
    ieee = precision == "ieee"
    chunked = channels_last(x)
    step, whole = depth_of_step(channels, 16 if ieee else 128 // y.itemsize if chunked else 32)
    # Places of single numbers need registers, and so does what is added to float32.
    near = chunked and whole
    roomy = near and (y.itemsize == 2 or residual is None)
    bm, bn = tile_of(pixels, outputs, (128 if near or residual is None else 64, 128 if roomy else 64) if not ieee else (64, 64))
    return conv2d_tile[cdiv(pixels, bm) * cdiv(outputs, bn) * groups].bind(
        *steps(y), *steps(x), *weight_steps(w), *((0, 0, 0, 0) if residual is None else steps_of_form(residual)), pixels, outputs,
        channels, *numbers_of(rows, columns), ACTIVATION=activation, PRECISION=precision, WHOLE=whole, BM=bm, BN=bn, BK=step,
        **resources(precision, bm, bn, roomy))


def resources(precision: str, bm: int, bn: int, roomy: bool) -> dict[str, int]:
    """How a program runs; the sums of float32 are in registers."""
    if precision == "ieee":
        return {"num_warps": 8, "num_stages": 3, "maxnreg": FREE}
    return {"num_warps": 8 if bm * bn >= 128 * 64 or not roomy else 4, "num_stages": 3}


def forward(precision: str, y: Any, x: Any, w: Any, bias: Any, scratch: Any, *options: Any) -> None:
    """conv2d, and conv2d_fused where four more arguments follow its options."""
    scale, shift, residual, activation = options[7:] or (None, None, None, 0)
    rows, columns = forward_lines(x, w, y, options[:7])
    in_y, in_x, in_w, in_residual = forms(y, x, w, residual)
    in_w = grouped_form(in_w, options[6])
    if not coalesced(Laid(*in_w)):
        w = packed(grouped(w, options[6]), scratch)
        in_w, = forms(w)
    launch = plan_patches(precision, (in_y, in_x, in_w), in_residual, activation, rows, columns)
    launch(y, x, w, bias, scale, shift, residual)


def input_grad(precision: str, dx: Any, gy: Any, w: Any, scratch: Any, *options: int) -> None:
    """Each phase of the stride is a convolution of gy with some taps of the weight."""
    down, right = options[:2]
    turned = packed(grouped(w, options[6]).swapaxes(1, 2), scratch)
    for py, px, rows, columns in phases(*forward_lines(dx, w, gy, options)):
        taps, pixels = turned[:, :, :, rows.first :: rows.every, columns.first :: columns.every], dx[:, :, py::down, px::right]
        launch = plan_patches(precision, forms(pixels, gy, taps), None, 0, rows, columns)
        launch(pixels, gy, taps, None, None, None, None)


for _path, _types, _precision in (("triton/v02_implicit", "float32", "ieee"), ("triton/v03_tensor_core", HALF, "tf32"),
                                  ("triton/v03_tensor_core_tf32", "float32", "tf32")):
    for _op, _run in (("conv2d", forward), ("conv2d_fused", forward), ("conv2d_input_grad", input_grad)):
        rung(_op, _path, _types)(lambda *args, run=_run, precision=_precision: run(precision, *args))
