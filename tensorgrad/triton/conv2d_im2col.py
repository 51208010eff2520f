"""The first idea of a fast convolution: patches are written out as columns, and matmul's kernel multiplies.

`triton/v01_im2col`, float32: columns hold a patch with its channels fastest, as many images at a time as the workspace has room for.
A 1 x 1 kernel of stride 1 needs none. Backward the columns of gradients are gathered again; for the weight each image is a part of the
sum. Images whose pixels do not follow each other at one step are copied first. Bottleneck: the columns, taps times the image, go out to
memory and come back.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import triton.language as tl

from .conv2d_weight_grad import conv2d_sum_parts
from .matmul import by_pointers
from .runtime import cdiv, kernel, power_of_2, rung, steps
from .shared.images import blocks_of, place_of_block
from .shared.patches import Line, channels_last, forward_lines, grouped, numbers_of, pixel_of, place_in, tap_of


@kernel
def conv2d_im2col(C, X, xn, xc, xh, xw, pixels, channels, image_h, image_w, grid_h, grid_w, taps_h, taps_w, step_h, step_w, start_h,
                  start_w, tap_h, tap_w, PIXELS: tl.constexpr, DEPTH: tl.constexpr):
    depth = taps_h * taps_w * channels
    across = tl.cdiv(depth, DEPTH)
    t = (tl.program_id(0) // across * PIXELS + tl.arange(0, PIXELS))[:, None]
    k = (tl.program_id(0) % across * DEPTH + tl.arange(0, DEPTH))[None, :]
    n, p, q = pixel_of(t, grid_h, grid_w)
    c, i, j = tap_of(k, channels, taps_w)
    y, x = p * step_h + start_h + i * tap_h, q * step_w + start_w + j * tap_w
    there = (t < pixels) & (k < depth)
    inside = there & (y >= 0) & (y < image_h) & (x >= 0) & (x < image_w)
    value = tl.load(place_in(X, n, c, y, x, xn, xc, xh, xw), mask=inside, other=0.0)
    tl.store(C + t.to(tl.int64) * depth + k, value, mask=there)


@kernel
def conv2d_col2im(DX, C, dn, dc, dh, dw, images, channels, out_h, out_w, image_h, image_w, grid_h, grid_w, taps_h, taps_w, step_h, step_w,
                  start_h, start_w, tap_h, tap_w, LAST: tl.constexpr, OUTER: tl.constexpr, INNER: tl.constexpr):
    n, c, y, x, there = place_of_block(tl.program_id(0), images, channels, out_h, out_w, LAST, OUTER, INNER)
    total = tl.zeros([OUTER, INNER], tl.float32)
    for i in range(taps_h):
        py = y - start_h - i * tap_h  # the tap met this pixel at row py / step_h, if there is one
        for j in range(taps_w):
            px = x - start_w - j * tap_w
            met = there & (py >= 0) & (px >= 0) & (py % step_h == 0) & (px % step_w == 0)
            met = met & (py // step_h < grid_h) & (px // step_w < grid_w)
            pixel = (n * grid_h + py // step_h) * grid_w + px // step_w
            total += tl.load(C + pixel.to(tl.int64) * (taps_h * taps_w * channels) + ((i * taps_w + j) * channels + c), mask=met, other=0.0)
    tl.store(place_in(DX, n, c, y, x, dn, dc, dh, dw), total.to(DX.dtype.element_ty), mask=there)


def flat(a: Any) -> Any:
    """Images (N, C, H, W) as (N, H W, C): a view where pixels follow each other at one step, else a copy."""
    n, c, h, w = a.shape
    view = a.transpose(0, 2, 3, 1)
    if h > 1 and w > 1 and a.strides[2] != w * a.strides[3]:
        view = view.copy()
    return view.reshape(n, h * w, c)


class Columns:
    """The columns of one group's images, in pieces of as many images as there is room for."""

    def __init__(self, image: Any, weight: Any, lines: tuple[Line, Line], space: Any, each: int):
        self.image, self.lines, self.weight, self.space, self.each = image, lines, weight, space, each
        self.pixels, self.depth = lines[0].grid * lines[1].grid, weight[0].size
        self.direct = all((a.taps, a.step, a.start, a.grid) == (1, 1, 0, a.image) for a in lines)

    def pieces(self) -> Iterator[tuple[int, int, Any]]:
        """(first image, the one after the last, room for their columns); the `each` numbers an image takes beside them come first."""
        n, one = self.image.shape[0], self.each + (0 if self.direct else self.pixels * self.depth)
        images = min(n, self.space.size // one) if one else n
        if n and not images:
            raise ValueError(f"triton/v01_im2col: the workspace of {self.space.size} elements is too small for the columns of one image, "
                             f"{one}; set_workspace_limit allows more")
        for first in range(0, n, max(images, 1)):
            last = min(first + images, n)
            yield first, last, self.space[(last - first) * self.each :]

    def at(self, first: int, last: int, room: Any) -> Any:
        """Where the columns of a piece are: (images, pixels, depth)."""
        if self.direct:
            return flat(self.image[first:last])
        return room[: (last - first) * self.pixels * self.depth].reshape(last - first, self.pixels, self.depth)

    def filled(self, first: int, last: int, room: Any) -> Any:
        """The columns of a piece, written."""
        columns, x = self.at(first, last, room), self.image[first:last]
        if not self.direct and columns.size:
            wide, count = min(64, power_of_2(self.depth)), (last - first) * self.pixels
            conv2d_im2col[cdiv(count, 1024 // wide) * cdiv(self.depth, wide)](
                columns, x, *steps(x), count, x.shape[1], *numbers_of(*self.lines), PIXELS=1024 // wide, DEPTH=wide, num_warps=4)
        return columns


def groups_of(image: Any, weight: Any, output: Any, space: Any, options: tuple[int, ...],
              each: int = 0) -> Iterator[tuple[slice, Columns]]:
    """(output channels, columns) of each group; the weight is (groups, rows, channels, taps, taps)."""
    lines, channels, rows = forward_lines(image, weight[0], output, options), weight.shape[2], weight.shape[1]
    for g in range(weight.shape[0]):
        yield slice(g * rows, (g + 1) * rows), Columns(image[:, g * channels : (g + 1) * channels], weight[g], lines, space, each)


def matrix(w: Any) -> Any:
    """A group's weight (rows, channels, taps, taps) as (rows, depth), channels fastest: a copy where it does not lie so."""
    return w.transpose(0, 2, 3, 1).reshape(w.shape[0], -1)


def forward(y: Any, x: Any, w: Any, bias: Any, scratch: Any, *options: int) -> None:
    """Columns times weight."""
    for rows, columns in groups_of(x, grouped(w, options[6]), y, scratch, options):
        for first, last, room in columns.pieces():
            by_pointers("ieee", (64, 64), 16, flat(y[first:last, rows]), columns.filled(first, last, room), matrix(columns.weight).T,
                        None, None if bias is None else bias[rows], 1.0, 0.0)


def input_grad(dx: Any, gy: Any, w: Any, scratch: Any, *options: int) -> None:
    """Gradients of columns, gathered into pixels."""
    for rows, columns in groups_of(dx, grouped(w, options[6]), gy, scratch, options):
        for first, last, room in columns.pieces():
            grads, out = columns.at(first, last, room), columns.image[first:last]
            by_pointers("ieee", (64, 64), 16, grads, flat(gy[first:last, rows]), matrix(columns.weight))
            if not columns.direct:
                grid, sizes, block = blocks_of(out, out, channels_last(out))
                conv2d_col2im[grid](out, grads, *steps(out), *sizes, *numbers_of(*columns.lines), **block)


def weight_grad(dw: Any, gy: Any, x: Any, scratch: Any, *options: int) -> None:
    """Each image a part: gradients of its pixels times its columns, added up in order."""
    taps_h, taps_w = dw.shape[2:]
    for rows, columns in groups_of(x, grouped(dw, options[6]), gy, scratch, options, dw.size // options[6]):
        of_group, size, add = dw[rows], dw.size // options[6], False
        for first, last, room in columns.pieces():
            parts = scratch[: (last - first) * size]
            by_pointers("ieee", (64, 64), 16, parts.reshape(last - first, -1, columns.depth),
                        flat(gy[first:last, rows]).swapaxes(1, 2), columns.filled(first, last, room))
            conv2d_sum_parts[cdiv(size, 256)](of_group, parts, last - first, size, dw.shape[1], taps_h, taps_w, ADD=add, BLOCK=256,
                                              num_warps=4)
            add = True
        if not add:
            of_group[...] = 0


for _op, _run in (("conv2d", forward), ("conv2d_input_grad", input_grad), ("conv2d_weight_grad", weight_grad)):
    rung(_op, "triton/v01_im2col", "float32")(_run)
