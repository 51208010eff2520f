"""Pooling, forward and backward: a program owns a block of results and walks over their windows.

`triton/v00_direct` takes planes of any strides, neighbours along a row; `triton/v01_channels_last` images whose channels are neighbours.
Backward an element asks the windows that cover it whether their maximum was here: gradients are gathered, in one order, without atomics.
NaN wins, the last of several; else the first of equals.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .runtime import device_function, kernel, rung, steps
from .shared.images import blocks_of, place_of_block
from .shared.patches import place_in

TYPES = "float32 float16 bfloat16"


@device_function
def windows(ranges_begin, ranges_end, i, size, length, step, padding, taps, tap):
    # Where windows number i begin and end along a dimension, and how many places the longest has: from tables, or by the numbers.
    if ranges_begin is None:
        first = i * step - padding
        return first, tl.minimum(first + (taps - 1) * tap + 1, length), taps
    else:
        first = tl.load(ranges_begin + i, mask=i < size, other=0).to(tl.int32)
        last = tl.load(ranges_end + i, mask=i < size, other=0).to(tl.int32)
        return first, last, tl.max(tl.ravel(last - first), 0)


@kernel
def max_pool2d_windows(Y, At, X, Top, Bottom, Left, Right, yn, yc, yh, yw, an, ac, ah, aw, xn, xc, xh, xw, images, channels, out_h, out_w,
                       image_h, image_w, taps_h, taps_w, step_h, step_w, padding_h, padding_w, tap_h, tap_w, LAST: tl.constexpr,
                       OUTER: tl.constexpr, INNER: tl.constexpr):
    n, c, p, q, there = place_of_block(tl.program_id(0), images, channels, out_h, out_w, LAST, OUTER, INNER)
    top, bottom, high = windows(Top, Bottom, p, out_h, image_h, step_h, padding_h, taps_h, tap_h)
    left, right, wide = windows(Left, Right, q, out_w, image_w, step_w, padding_w, taps_w, tap_w)
    best = tl.full([OUTER, INNER], -float("inf"), tl.float32)
    # Where nothing beats -inf it is the first place that is no padding.
    first_h = tl.where(top < 0, top + (tap_h - 1 - top) // tap_h * tap_h, top)
    first_w = tl.where(left < 0, left + (tap_w - 1 - left) // tap_w * tap_w, left)
    at = tl.zeros([OUTER, INNER], tl.int32) + first_h * image_w + first_w
    for a in range(high):
        y = top + a * tap_h
        for b in range(wide):
            x = left + b * tap_w
            inside = there & (y >= 0) & (y < bottom) & (x >= 0) & (x < right)
            value = tl.load(place_in(X, n, c, y, x, xn, xc, xh, xw), mask=inside, other=-float("inf")).to(tl.float32)
            beats = (value > best) | (value != value)
            best = tl.where(beats, value, best)
            at = tl.where(beats, y * image_w + x, at)
    tl.store(place_in(Y, n, c, p, q, yn, yc, yh, yw), best.to(Y.dtype.element_ty), mask=there)
    if At is not None:
        tl.store(place_in(At, n, c, p, q, an, ac, ah, aw), at.to(At.dtype.element_ty), mask=there)


@kernel
def pool_scatter_gathered(DX, G, At, Top, Bottom, Left, Right, dn, dc, dh, dw, gn, gc, gh, gw, an, ac, ah, aw, images, channels, image_h,
                          image_w, LAST: tl.constexpr, OUTER: tl.constexpr, INNER: tl.constexpr):
    n, c, y, x, there = place_of_block(tl.program_id(0), images, channels, image_h, image_w, LAST, OUTER, INNER)
    top, bottom, high = windows(Top, Bottom, y, image_h, 0, 0, 0, 0, 0)
    left, right, wide = windows(Left, Right, x, image_w, 0, 0, 0, 0, 0)
    total = tl.zeros([OUTER, INNER], tl.float32)
    for a in range(high):
        p = top + a
        for b in range(wide):
            q = left + b
            inside = there & (p < bottom) & (q < right)
            at = tl.load(place_in(At, n, c, p, q, an, ac, ah, aw), mask=inside, other=-1)
            here = inside & (at == y * image_w + x)
            total += tl.load(place_in(G, n, c, p, q, gn, gc, gh, gw), mask=here, other=0.0).to(tl.float32)
    tl.store(place_in(DX, n, c, y, x, dn, dc, dh, dw), total.to(DX.dtype.element_ty), mask=there)


@kernel
def pool_gather_elements(Y, X, At, yn, yc, yh, yw, xn, xc, xh, xw, an, ac, ah, aw, images, channels, out_h, out_w, image_w,
                         LAST: tl.constexpr, OUTER: tl.constexpr, INNER: tl.constexpr):
    n, c, p, q, there = place_of_block(tl.program_id(0), images, channels, out_h, out_w, LAST, OUTER, INNER)
    at = tl.load(place_in(At, n, c, p, q, an, ac, ah, aw), mask=there, other=0).to(tl.int32)
    value = tl.load(place_in(X, n, c, at // image_w, at % image_w, xn, xc, xh, xw), mask=there)
    tl.store(place_in(Y, n, c, p, q, yn, yc, yh, yw), value, mask=there)


def max_pool2d(last: bool, y: Any, indices: Any, x: Any, *window: int) -> None:
    """The windows of a convolution: kernel, stride, padding and dilation, each for rows and columns."""
    grid, sizes, options = blocks_of(y, x, last)
    max_pool2d_windows[grid](y, indices, x, None, None, None, None, *steps(y), *steps(y if indices is None else indices), *steps(x), *sizes,
                             *x.shape[2:], *window, **options)


def adaptive_max_pool2d(y: Any, indices: Any, x: Any, *ranges: Any) -> None:
    """Windows by tables: first row, the one after the last, and the same of the columns."""
    grid, sizes, options = blocks_of(y, x, False)
    max_pool2d_windows[grid](y, indices, x, *ranges, *steps(y), *steps(indices), *steps(x), *sizes, *x.shape[2:], 0, 0, 0, 0, 0, 0, 1, 1,
                             **options)


def pool_scatter(last: bool, dx: Any, g: Any, indices: Any, *ranges: Any) -> None:
    """`ranges`: which windows may cover a row, and a column, of dx."""
    grid, sizes, options = blocks_of(dx, dx, last)
    pool_scatter_gathered[grid](dx, g, indices, *ranges, *steps(dx), *steps(g), *steps(indices), *sizes, **options)


def pool_gather(y: Any, x: Any, indices: Any) -> None:
    """What lies at the indices of each plane."""
    grid, sizes, options = blocks_of(y, x, False)
    pool_gather_elements[grid](y, x, indices, *steps(y), *steps(x), *steps(indices), *sizes, x.shape[3], **options)


for _path, _last in (("triton/v00_direct", False), ("triton/v01_channels_last", True)):
    rung("max_pool2d", _path, TYPES, writes=(0, 1))(lambda *args, last=_last: max_pool2d(last, *args))
    rung("pool_scatter", _path, TYPES)(lambda *args, last=_last: pool_scatter(last, *args))
rung("adaptive_max_pool2d", "triton/v00_direct", TYPES, writes=(0, 1))(adaptive_max_pool2d)
rung("pool_gather", "triton/v00_direct", TYPES)(pool_gather)
