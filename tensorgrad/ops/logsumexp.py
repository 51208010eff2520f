"""logsumexp: y = ln of the sum of e^x."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.reduction import largest, numpy_sum, reduced_dims, spread


class Logsumexp(Op):
    """y = ln(sum exp(x)) over `dim` (one or several), without overflow: the largest element is taken out first."""

    name = "logsumexp"
    autocast = ("", "float32")
    places = ("special.logsumexp",)
    torch_name = "logsumexp"

    def forward(self, ctx: Node, input: Tensor, dim: int | Sequence[int], keepdim: bool = False) -> Tensor:
        x, xp = input.array, input.device.backend.xp
        if not input.dtype.is_floating_point:
            x = x.astype(dtypes.get_default_dtype().np)
        dims = reduced_dims("logsumexp", dim, x.ndim)
        wide = np.dtype(np.float32) if x.dtype.itemsize == 2 else x.dtype
        z = x.astype(wide, copy=False)
        with np.errstate(all="ignore"):
            top = largest(xp, z, dims, True, -np.inf)
            top = xp.where(xp.isfinite(top), top, wide.type(0))
            y = xp.log(numpy_sum(xp, xp.exp(z - top), dims, True, wide)) + top
        out = wrap((y if keepdim else y.squeeze(dims)).astype(x.dtype, copy=False), input.device)
        ctx.dims, ctx.keepdim = dims, keepdim
        ctx.save(input, out)
        return out

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        x, y = ctx.saved
        y = spread(y, ctx.dims, ctx.keepdim)
        infinite = y.device.backend.capturing() or bool(np.isinf(y.array).any())  # a graph is made for either
        share = fn.where(y.isinf(), 0.0, x - y).exp() if infinite else (x - y).exp()
        if infinite:  # an infinite sum: all of it belongs to the infinite elements; an empty one to nobody
            share = fn.where(y.isinf(), (x == y).to(x.dtype) * (y > 0).to(x.dtype), share)
        return spread(g, ctx.dims, ctx.keepdim) * share

    def reference(self, x: Any, dim: Any, keepdim: Any = False) -> Any:
        axis = tuple(dim) if isinstance(dim, list) else dim
        with np.errstate(all="ignore"):
            return np.logaddexp.reduce(x, axis=axis, keepdims=keepdim) if not isinstance(axis, tuple) else np.log(
                np.exp(x).sum(axis=axis, keepdims=keepdim))

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), 1), Case(T(2, 3, 5), [0, -1], keepdim=True), Case(T(7), 0), Case(T(), 0), Case(T(3, 0), 0))
        yield from (Case(T(0, 3), 0), Case(T(2, 9, low=-900, high=900), 1), Case(T(values=[[-np.inf] * 2, [0.0, np.inf]], grad=False), 1))
        yield Case(T(2, 3), 2, error=(IndexError, "logsumexp: dim 2 is out of range"))
