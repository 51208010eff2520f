"""Convolution of groups of one channel: no product of matrices, so a program owns a block of results and adds up the taps of each.

`triton/depthwise`: neighbours in a block are channels where those lie last, else pixels of a row; taps that blocks share come from the
caches. The gradient of the input asks each tap whether it met the pixel; the gradient of the weight is summed in parts, like
conv2d_weight_grad.py's. Bottleneck: loads. Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .conv2d_weight_grad import conv2d_sum_parts, parts_of
from .runtime import Laid, cdiv, forms, kernel, plan, power_of_2, rung, steps
from .shared.images import BLOCK, blocks_of, place_of_block
from .shared.patches import channels_last, forward_lines, numbers_of, pixel_of, place_in

TYPES = "float32 float16 bfloat16"


@kernel
def conv2d_depthwise(Y, X, W, Bias, yn, yc, yh, yw, xn, xc, xh, xw, wr, wi, wj, each, images, channels, out_h, out_w, image_h, image_w,
                     grid_h, grid_w, taps_h, taps_w, step_h, step_w, start_h, start_w, tap_h, tap_w, LAST: tl.constexpr,
                     OUTER: tl.constexpr, INNER: tl.constexpr):
    n, c, p, q, there = place_of_block(tl.program_id(0), images, channels, out_h, out_w, LAST, OUTER, INNER)
    total = tl.zeros([OUTER, INNER], tl.float32)
    for i in range(taps_h):
        y = p * step_h + start_h + i * tap_h
        for j in range(taps_w):
            x = q * step_w + start_w + j * tap_w
            inside = there & (y >= 0) & (y < image_h) & (x >= 0) & (x < image_w)
            value = tl.load(place_in(X, n, c // each, y, x, xn, xc, xh, xw), mask=inside, other=0.0).to(tl.float32)
            total += value * tl.load(W + c.to(tl.int64) * wr + i * wi + j * wj, mask=c < channels, other=0.0).to(tl.float32)
    if Bias is not None:
        total += tl.load(Bias + c, mask=c < channels, other=0.0).to(tl.float32)
    tl.store(place_in(Y, n, c, p, q, yn, yc, yh, yw), total.to(Y.dtype.element_ty), mask=there)


@kernel
def conv2d_depthwise_input_grad(DX, G, W, dn, dc, dh, dw, gn, gc, gh, gw, wr, wi, wj, each, images, channels, out_h, out_w, image_h,
                                image_w, grid_h, grid_w, taps_h, taps_w, step_h, step_w, start_h, start_w, tap_h, tap_w, LAST: tl.constexpr,
                                OUTER: tl.constexpr, INNER: tl.constexpr):
    n, c, y, x, there = place_of_block(tl.program_id(0), images, channels, out_h, out_w, LAST, OUTER, INNER)
    total = tl.zeros([OUTER, INNER], tl.float32)
    for i in range(taps_h):
        py = y - start_h - i * tap_h  # the tap met this pixel at row py / step_h, if there is one
        for j in range(taps_w):
            px = x - start_w - j * tap_w
            met = there & (py >= 0) & (px >= 0) & (py % step_h == 0) & (px % step_w == 0)
            met = met & (py // step_h < grid_h) & (px // step_w < grid_w)
            for r in range(each):
                channel = c * each + r
                value = tl.load(place_in(G, n, channel, py // step_h, px // step_w, gn, gc, gh, gw), mask=met, other=0.0).to(tl.float32)
                total += value * tl.load(W + channel.to(tl.int64) * wr + i * wi + j * wj, mask=c < channels, other=0.0).to(tl.float32)
    tl.store(place_in(DX, n, c, y, x, dn, dc, dh, dw), total.to(DX.dtype.element_ty), mask=there)


@kernel
def conv2d_depthwise_weight_grad(D, G, X, part_step, gn, gc, gh, gw, xn, xc, xh, xw, each, pixels, span, channels, image_h, image_w, grid_h,
                                 grid_w, taps_h, taps_w, step_h, step_w, start_h, start_w, tap_h, tap_w, PIXELS: tl.constexpr,
                                 CHANNELS: tl.constexpr):
    number = tl.program_id(0) // tl.cdiv(channels, CHANNELS)
    c = tl.program_id(0) % tl.cdiv(channels, CHANNELS) * CHANNELS + tl.arange(0, CHANNELS)
    i, j = number // taps_w, number % taps_w
    total = tl.zeros([PIXELS, CHANNELS], tl.float32)
    begin = tl.program_id(1) * span
    for first in range(begin, tl.minimum(pixels, begin + span), PIXELS):
        t = (first + tl.arange(0, PIXELS))[:, None]
        n, p, q = pixel_of(t, grid_h, grid_w)
        y, x = p * step_h + start_h + i * tap_h, q * step_w + start_w + j * tap_w
        inside = (t < pixels) & (y >= 0) & (y < image_h) & (x >= 0) & (x < image_w) & (c < channels)[None, :]
        value = tl.load(place_in(X, n, (c // each)[None, :], y, x, xn, xc, xh, xw), mask=inside, other=0.0).to(tl.float32)
        total += value * tl.load(place_in(G, n, c[None, :], p, q, gn, gc, gh, gw), mask=inside, other=0.0).to(tl.float32)
    at = D + tl.program_id(1).to(tl.int64) * part_step + c.to(tl.int64) * (taps_h * taps_w) + number
    tl.store(at, tl.sum(total, 0).to(D.dtype.element_ty), mask=c < channels)


@plan
def plan_forward(arrays: tuple, options: tuple[int, ...]) -> Any:
    """The launch for y, x and w of these forms."""
    y, x, w = (Laid(*form) for form in arrays)
    grid, sizes, block = blocks_of(y, x, channels_last(y))
    wr, _, wi, wj = steps(w)
    return conv2d_depthwise[grid].bind(*steps(y), *steps(x), wr, wi, wj, y.shape[1] // x.shape[1], *sizes,
                                       *numbers_of(*forward_lines(x, w, y, options)), **block)


def forward(y: Any, x: Any, w: Any, bias: Any, scratch: Any, *options: int) -> None:
    plan_forward(forms(y, x, w), options)(y, x, w, bias)


@plan
def plan_input_grad(arrays: tuple, options: tuple[int, ...]) -> Any:
    """The launch for dx, gy and w of these forms."""
    dx, gy, w = (Laid(*form) for form in arrays)
    grid, sizes, block = blocks_of(dx, gy, channels_last(dx))
    wr, _, wi, wj = steps(w)
    return conv2d_depthwise_input_grad[grid].bind(*steps(dx), *steps(gy), wr, wi, wj, gy.shape[1] // dx.shape[1], *sizes,
                                                  *numbers_of(*forward_lines(dx, w, gy, options)), **block)


def input_grad(dx: Any, gy: Any, w: Any, scratch: Any, *options: int) -> None:
    plan_input_grad(forms(dx, gy, w), options)(dx, gy, w)


@plan
def plan_weight_grad(arrays: tuple, room: int, options: tuple[int, ...]) -> tuple[Any, Any]:
    """The launches for dw, gy and x of these forms: sums, and where these are in parts what adds them up, else None. `room`: elements."""
    dw, gy, x = (Laid(*form) for form in arrays)
    channels, _, taps_h, taps_w = dw.shape
    wide = min(32, power_of_2(channels)) if channels_last(x) else 1
    pixels, blocks = gy.shape[0] * gy.shape[2] * gy.shape[3], cdiv(channels, wide) * taps_h * taps_w
    step = BLOCK // wide
    count = parts_of(pixels, blocks, dw.size, room)
    span = cdiv(cdiv(pixels, count), step) * step
    sums = conv2d_depthwise_weight_grad[blocks, count].bind(
        dw.size, *steps(gy), *steps(x), channels // x.shape[1], pixels, span, channels, *numbers_of(*forward_lines(x, dw, gy, options)),
        PIXELS=step, CHANNELS=wide, num_warps=4)
    parts = conv2d_sum_parts[cdiv(dw.size, 256)].bind(count, dw.size, 1, taps_h, taps_w, ADD=False, BLOCK=256, num_warps=4)
    return sums, parts if count > 1 else None


def weight_grad(dw: Any, gy: Any, x: Any, scratch: Any, *options: int) -> None:
    sums, parts = plan_weight_grad(forms(dw, gy, x), scratch.size, options)
    sums(dw if parts is None else scratch, gy, x)
    if parts is not None:
        parts(dw, scratch)


for _op, _run in (("conv2d", forward), ("conv2d_input_grad", input_grad), ("conv2d_weight_grad", weight_grad)):
    rung(_op, "triton/depthwise", TYPES)(_run)
