"""Weighted sums along rows and columns of images, by two sparse matrices: average pooling and interpolation, whose gradients are the same.

`triton/v00_direct` takes planes of any strides, neighbours along a row; `triton/v01_channels_last` images whose channels are neighbours.
A program owns a block of results and adds up, row by row, the pixels each is made of.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .runtime import device_function, kernel, rung, steps
from .shared.images import blocks_of, place_of_block
from .shared.patches import place_in


@device_function
def entries(Start, i, there):
    # Where row i of a matrix begins, how many entries it has, and the most that any has; None is the matrix that changes nothing.
    if Start is None:
        return i, i * 0 + 1, 1
    else:
        begin = tl.load(Start + i, mask=there, other=0).to(tl.int32)
        count = tl.load(Start + i + 1, mask=there, other=0).to(tl.int32) - begin
        return begin, count, tl.max(tl.ravel(count), 0)


@device_function
def entry(Source, Weight, at, there):
    # (column, weight)
    if Source is None:
        return at, tl.where(there, 1.0, 0.0)
    else:
        return tl.load(Source + at, mask=there, other=0).to(tl.int32), tl.load(Weight + at, mask=there, other=0.0).to(tl.float32)


@kernel
def resample_taps(Y, X, RowStart, RowSource, RowWeight, Start, Source, Weight, yn, yc, yh, yw, xn, xc, xh, xw, images, channels, out_h,
                  out_w, LAST: tl.constexpr, OUTER: tl.constexpr, INNER: tl.constexpr):
    n, c, p, q, there = place_of_block(tl.program_id(0), images, channels, out_h, out_w, LAST, OUTER, INNER)
    top, high, most_h = entries(RowStart, p, p < out_h)
    left, wide, most_w = entries(Start, q, q < out_w)
    total = tl.zeros([OUTER, INNER], tl.float32)
    for a in range(most_h):
        y, row_weight = entry(RowSource, RowWeight, top + a, a < high)
        of_row = tl.zeros([OUTER, INNER], tl.float32)
        for b in range(most_w):
            x, weight = entry(Source, Weight, left + b, b < wide)
            inside = there & (a < high) & (b < wide)
            of_row += weight * tl.load(place_in(X, n, c, y, x, xn, xc, xh, xw), mask=inside, other=0.0).to(tl.float32)
        total += row_weight * of_row
    tl.store(place_in(Y, n, c, p, q, yn, yc, yh, yw), total.to(Y.dtype.element_ty), mask=there)


def resample(last: bool, y: Any, x: Any, *taps: Any) -> None:
    """`taps`: start, source and weight of the matrix of rows and of the one of columns, or None."""
    grid, sizes, options = blocks_of(y, x, last)
    resample_taps[grid](y, x, *taps, *steps(y), *steps(x), *sizes, **options)


for _path, _last in (("triton/v00_direct", False), ("triton/v01_channels_last", True)):
    rung("resample", _path, "float32 float16 bfloat16")(lambda *args, last=_last: resample(last, *args))
