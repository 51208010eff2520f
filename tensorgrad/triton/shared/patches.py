"""Sums over patches of images, which a convolution and its gradients are:

    output[n, r, y, x] = sum over c, i, j of weight[r, c, i, j] image[n, c, y step + from + i tap, x step + from + j tap]

The forward pass is that; the gradient of the input too, once for each phase of the stride; the gradient of the weight reads image and
output. Pixels are counted over the batch, k over a patch with the channels fastest. Lines are rows or columns of pixels.
"""
from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import gcd
from typing import Any, NamedTuple

import triton.language as tl

from ..runtime import Form, cdiv, device_function, steps

MOST = (1 << 31) - (1 << 16)  # pixels and numbers of a patch are counted in 32 bits, a tile beyond the last


@device_function
def pixel_of(q, grid_h, grid_w):
    # Number q as (image, row, column).
    line = q // grid_w
    return line // grid_h, line % grid_h, q % grid_w


@device_function
def tap_of(k, channels, taps_w):
    # Number k of a patch as (channel, row, column).
    tap = k // channels
    return k % channels, tap // taps_w, tap % taps_w


@device_function
def place_in(X, n, c, y, x, xn, xc, xh, xw):
    return X + n.to(tl.int64) * xn + c.to(tl.int64) * xc + y.to(tl.int64) * xh + x.to(tl.int64) * xw


class Line(NamedTuple):
    """Where taps fall on an image, along one of its dimensions; `first` and `every`: which taps of the weight they are."""

    image: int
    grid: int
    taps: int
    step: int
    start: int
    tap: int
    first: int = 0
    every: int = 1


def forward_lines(image: Any, weight: Any, grid: Any, options: tuple[int, ...]) -> tuple[Line, Line]:
    """Rows and columns of the forward pass, from the shapes of the arrays."""
    return _forward_lines(image.shape, weight.shape, grid.shape, options)


@lru_cache(4096)  # networks ask for the same few again and again
def _forward_lines(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], options: tuple[int, ...]) -> tuple[Line, Line]:
    sh, sw, top, left, dh, dw, _ = options
    for what, size in (("pixels", y[0] * y[2] * y[3]), ("pixels", x[0] * x[2] * x[3]), ("elements in a patch", w[1] * w[2] * w[3])):
        if size > MOST:
            raise ValueError(f"Triton's conv2d: {size} {what} in (N, C, H, W) = {x}, weight {w}, result {y} are more than {MOST}")
    return Line(x[2], y[2], w[2], sh, -top, dh), Line(x[3], y[3], w[3], sw, -left, dw)


def phase_of(phase: int, f: Line) -> Line:
    """The positions phase, phase + stride, ... of the gradient of the input along a line of the forward pass, and the taps they meet."""
    every = f.step // gcd(f.step, f.tap)
    first = next((i for i in range(min(f.taps, every)) if (phase - f.start - i * f.tap) % f.step == 0), f.taps)
    taps = cdiv(f.taps - first, every)
    return Line(f.grid, cdiv(f.image - phase, f.step), taps, 1, (phase - f.start - first * f.tap) // f.step if taps else 0,
                -(every * f.tap // f.step), first, every)


@lru_cache(4096)
def phases(rows: Line, columns: Line) -> tuple[tuple[int, int, Line, Line], ...]:
    """(first row, first column, rows, columns) of each phase: pixels of the input that are a stride apart meet the same taps."""
    return tuple((py, px, phase_of(py, rows), phase_of(px, columns))
                 for py in range(min(rows.step, rows.image)) for px in range(min(columns.step, columns.image)))


def numbers_of(rows: Line, columns: Line) -> Iterator[int]:
    """What a kernel takes of its lines: image, grid, taps, step, start and tap, each for rows and columns."""
    for a, b in zip(rows[:6], columns[:6], strict=True):
        yield a
        yield b


def grouped(w: Any, groups: int) -> Any:
    """The weight as (groups, rows, channels, taps, taps)."""
    return w.reshape(groups, w.shape[0] // groups, *w.shape[1:])


@lru_cache(4096)
def grouped_form(form: Form, groups: int) -> Form:
    """The form of that."""
    (rows, *shape), (step, *strides), size = form
    return (groups, rows // groups, *shape), (step * (rows // groups), step, *strides), size


def weight_steps(w: Any) -> tuple[int, ...]:
    """The steps of a grouped weight; one that is never taken is 0, which leaves the others' multiples as they are."""
    return _weight_steps(w.shape, w.strides, w.itemsize)


@lru_cache(4096)
def _weight_steps(shape: tuple[int, ...], strides: tuple[int, ...], size: int) -> tuple[int, ...]:
    return (*[s // size for s in strides[:3]], *[s // size if n > 1 else 0 for s, n in zip(strides[3:], shape[3:], strict=True)])


def coalesced(w: Any) -> bool:
    """Whether neighbours in memory are neighbours in the channels, or the rows, of a weight."""
    _, r, c, _, _ = steps(w)
    return c == 1 or w.shape[2] == 1 or r == 1


def channels_last(x: Any) -> bool:
    """Whether neighbours in memory are neighbours in the channels of images."""
    return x.shape[1] == 1 or x.strides[1] == x.itemsize
