"""softmax: y_i = exp(x_i) / sum_j exp(x_j) along a dimension."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..op import fn, rung
from ..tensor import Tensor
from .shared.rows import AlongDim, AlongDimBackward


class Softmax(AlongDim):
    """y_i = exp(x_i) / sum_j exp(x_j) along `dim`; the maximum is subtracted first, so nothing overflows.

    `dtype` converts the input first. Rows of -inf, and rows with +inf or NaN, give NaN. IndexError for a dim that is not there.
    """

    name = "softmax"
    autocast = ("", "float32")
    places = ("special.softmax",)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.softmax_backward(g, ctx.saved[0], ctx.dim).to(ctx.kind)

    @rung("cpu/numpy")
    def in_numpy(self, y: Any, x: Any, outer: int, n: int, inner: int) -> None:
        if y.size:
            x, out = x.reshape(outer, n, inner), y.reshape(outer, n, inner)
            with np.errstate(invalid="ignore"):
                np.exp(x - x.max(axis=1, keepdims=True), out=out)
                out /= out.sum(axis=1, keepdims=True)

    def reference(self, x: Any, dim: int, dtype: Any = None) -> Any:
        if x.size == 0 or x.ndim == 0:
            return np.ones_like(x)
        with np.errstate(invalid="ignore"):
            e = np.exp(x - x.max(axis=dim, keepdims=True))
        return e / e.sum(axis=dim, keepdims=True)


class SoftmaxBackward(AlongDimBackward):
    """dx = y (g - sum(g y)) along `dim`."""

    name = "softmax_backward"
    group = "softmax"

    def backward(self, ctx: Node, u: Tensor) -> tuple:
        g, y = ctx.saved
        dg = fn.softmax_backward(u, y, ctx.dim) if ctx.edges[0] else None
        dy = None
        if ctx.edges[1]:
            dy = u * (g - (g * y).sum(ctx.dim, keepdim=True)) - g * (u * y).sum(ctx.dim, keepdim=True)
        return dg, dy

    @rung("cpu/numpy")
    def in_numpy(self, dx: Any, g: Any, y: Any, outer: int, n: int, inner: int) -> None:
        g, y, out = (a.reshape(outer, n, inner) for a in (g, y, dx))
        np.multiply(y, g - (g * y).sum(axis=1, keepdims=True), out=out)

    def reference(self, g: Any, y: Any, dim: int) -> Any:
        return y * (g - (g * y).sum(axis=dim, keepdims=True))
