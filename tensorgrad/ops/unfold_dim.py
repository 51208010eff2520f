"""Tensor.unfold: sliding windows of one dimension."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap


class UnfoldDim(Op):
    """`x.unfold(dimension, size, step)`: a view of the windows of `size` entries every `step` of a dim; the window is the last dim.

    There are floor((n - size) / step) + 1 windows. Where they overlap the gradient adds up.
    """

    name = "unfold_dim"
    function = method = False
    may_view = True
    torch_name = "Tensor.unfold"

    def forward(self, ctx: Node, input: Tensor, dimension: int, size: int, step: int) -> Tensor:
        x = input.array
        d = check_dim("unfold", dimension, x.ndim)
        n = x.shape[d] if x.ndim else 1
        if not 0 <= size <= n or step <= 0:
            raise RuntimeError(f"unfold: windows of {size} every {step} do not fit into dim {d} of size {n}; size is at most {n}, "
                               "step at least 1")
        ctx.args, ctx.shape, ctx.view = (d, size, step), x.shape, True
        return wrap(windows(input.device.backend.xp, x, d, size, step), input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.unfold_dim_backward(g, ctx.shape, *ctx.args)

    def reference(self, x: Any, dimension: int, size: int, step: int) -> Any:
        starts = range(0, x.shape[dimension] - size + 1, step)
        return np.stack([np.moveaxis(x.take(range(s, s + size), dimension), dimension, -1) for s in starts], dimension % x.ndim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7), 0, 3, 2), Case(T(2, 5), 1, 2, 1), Case(T(5, 2, 3), 0, 2, 3), Case(T(2, 5), -1, 5, 1))
        yield Case(T(2, 5), 1, 6, 1, error=(RuntimeError, "unfold: windows of 6 every 1 do not fit into dim 1 of size 5"))


def windows(xp: Any, x: Any, d: int, size: int, step: int) -> Any:
    """The windows as a view of storage `x`."""
    if not x.ndim:
        x = x.reshape(1)
        if size == 0:
            return x[:0].reshape(1, 0)[:, :0]
        return x if size == 1 else x[:0]
    count = (x.shape[d] - size) // step + 1
    shape = (*x.shape[:d], count, *x.shape[d + 1:], size)
    strides = (*x.strides[:d], x.strides[d] * step, *x.strides[d + 1:], x.strides[d])
    return xp.lib.stride_tricks.as_strided(x, shape, strides)


class UnfoldDimBackward(Op):
    """Zeros of `shape` with `input` added at the windows."""

    name = "unfold_dim_backward"
    function = method = False

    def forward(self, ctx: Node, input: Tensor, shape: tuple[int, ...], dimension: int, size: int, step: int) -> Tensor:
        g = input.array
        out = input.device.backend.xp.zeros(shape, np.float32 if g.dtype.itemsize == 2 else g.dtype)
        into = out if shape else out.reshape(1)
        count = (into.shape[dimension] - size) // step + 1
        front = (slice(None),) * dimension
        for k in range(size):
            into[(*front, slice(k, k + step * (count - 1) + 1, step))] += g[..., k] if shape else g[k]
        ctx.args = (dimension, size, step)
        return wrap(out.astype(g.dtype, copy=False), input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.unfold_dim(g, *ctx.args)

    def reference(self, g: Any, shape: Any, dimension: int, size: int, step: int) -> Any:
        out = np.zeros(shape)
        moved = np.moveaxis(out, dimension, -1)
        wins = np.moveaxis(g, dimension, -2)
        for w in range(wins.shape[-2]):
            moved[..., w * step:w * step + size] += wins[..., w, :]
        return out

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 3), (7,), 0, 3, 2), Case(T(2, 4, 2), (2, 5), 1, 2, 1))


def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Sliding windows of one dim as a view; nn.functional.unfold is another operation."""
    return fn.unfold_dim(self, dimension, size, step)


Tensor.unfold = unfold  # type: ignore[attr-defined]
