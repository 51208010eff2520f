"""log_softmax: y_i = x_i - ln sum_j exp(x_j) along a dimension."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..op import fn, rung
from ..tensor import Tensor
from .shared.rows import AlongDim, AlongDimBackward


class LogSoftmax(AlongDim):
    """y_i = x_i - ln sum_j exp(x_j) along `dim`, without the loss of digits of ln(softmax(x)).

    `dtype` converts the input first. Rows of -inf, and rows with +inf or NaN, give NaN. IndexError for a dim that is not there.
    """

    name = "log_softmax"
    autocast = ("", "float32")
    places = ("special.log_softmax",)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.log_softmax_backward(g, ctx.saved[0], ctx.dim).to(ctx.kind)

    @rung("cpu/numpy")
    def in_numpy(self, y: Any, x: Any, outer: int, n: int, inner: int) -> None:
        if y.size:
            x, out = x.reshape(outer, n, inner), y.reshape(outer, n, inner)
            with np.errstate(invalid="ignore"):
                np.subtract(x, x.max(axis=1, keepdims=True), out=out)
                out -= np.log(np.exp(out).sum(axis=1, keepdims=True))

    def reference(self, x: Any, dim: int, dtype: Any = None) -> Any:
        if x.size == 0 or x.ndim == 0:
            return np.zeros_like(x)
        with np.errstate(invalid="ignore"):
            shifted = x - x.max(axis=dim, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))


class LogSoftmaxBackward(AlongDimBackward):
    """dx = g - exp(y) sum(g) along `dim`, with y the output of log_softmax."""

    name = "log_softmax_backward"
    group = "log_softmax"

    def backward(self, ctx: Node, u: Tensor) -> tuple:
        g, y = ctx.saved
        p = y.exp()
        dg = u - (u * p).sum(ctx.dim, keepdim=True) if ctx.edges[0] else None
        dy = -(u * p * g.sum(ctx.dim, keepdim=True)) if ctx.edges[1] else None
        return dg, dy

    @rung("cpu/numpy")
    def in_numpy(self, dx: Any, g: Any, y: Any, outer: int, n: int, inner: int) -> None:
        g, y, out = (a.reshape(outer, n, inner) for a in (g, y, dx))
        np.subtract(g, np.exp(y) * g.sum(axis=1, keepdims=True), out=out)

    def reference(self, g: Any, y: Any, dim: int) -> Any:
        return g - np.exp(y) * g.sum(axis=dim, keepdims=True)
