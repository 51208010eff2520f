"""vector_norm: the p-norm of vectors."""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dtypes import dtype as DType
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.reduction import largest, numpy_sum, reduced_dims, refuse_empty, spread


class VectorNorm(Op):
    """y = (sum |x|^ord)^(1/ord) over `dim`; inf: the largest |x|, -inf: the smallest, 0: the count of what is not zero.

    Where the norm is 0 its gradient is 0.
    """

    name = "vector_norm"
    autocast = ("", "float32")
    places = ("linalg.vector_norm",)
    torch_name = "linalg.vector_norm"
    function = method = False

    def forward(self, ctx: Node, input: Tensor, ord: float = 2, dim: int | Sequence[int] | None = None, keepdim: bool = False, *,
                dtype: DType | None = None) -> Tensor:
        x, xp = input.array, input.device.backend.xp
        kind = input.dtype if dtype is None else dtype
        if not kind.is_floating_point:
            raise RuntimeError(f"norm: needs a floating dtype, got {kind.name}; convert with .float()")
        dims = reduced_dims("norm", dim, x.ndim)
        wide = np.dtype(np.float32) if kind.itemsize == 2 else kind.np
        a = xp.abs(x.astype(wide, copy=False))
        if ord < 0:
            refuse_empty("norm", x.shape, dims)
        with np.errstate(all="ignore"):
            if math.isinf(ord):
                y = largest(xp, a, dims, keepdim, 0) if ord > 0 else a.min(axis=dims, keepdims=keepdim)
            elif ord == 0:
                y = (a != 0).sum(axis=dims, keepdims=keepdim).astype(wide)
            elif ord == 1:
                y = numpy_sum(xp, a, dims, keepdim, wide)
            elif ord == 2:
                y = xp.sqrt(numpy_sum(xp, a * a, dims, keepdim, wide))
            else:
                y = numpy_sum(xp, a ** wide.type(ord), dims, keepdim, wide) ** wide.type(1 / ord)
        out = wrap(y.astype(kind.np, copy=False), input.device)
        ctx.dims, ctx.keepdim, ctx.ord, ctx.kind = dims, keepdim, ord, input.dtype
        ctx.save(input, out)
        return out

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        x, y = ctx.saved
        if x.dtype is not g.dtype:
            x = x.to(g.dtype)
        y, g, p = spread(y, ctx.dims, ctx.keepdim), spread(g, ctx.dims, ctx.keepdim), ctx.ord
        if p == 2:
            gx = x * (g / fn.where(y == 0, 1.0, y))
        elif p == 1:
            gx = g * x.sign()
        elif p == 0:
            gx = x * 0.0
        elif math.isinf(p):
            chosen = (x.abs() == y).to(x.dtype)
            gx = x.sign() * (chosen * (g / chosen.sum(ctx.dims, True)))
        else:
            unit = fn.where(y == 0, 0.0, g * y ** (1 - p))
            gx = fn.where(x == 0, 0.0, x * fn.where(x == 0, 1.0, x.abs()) ** (p - 2)) * unit
        return gx.to(ctx.kind)

    def reference(self, x: Any, ord: float = 2, dim: Any = None, keepdim: bool = False) -> Any:
        axis = tuple(range(x.ndim)) if dim is None else tuple(dim) if isinstance(dim, list) else dim
        a = np.abs(x)
        if math.isinf(ord):
            return (np.max if ord > 0 else np.min)(a, axis=axis, keepdims=keepdim)
        return (a != 0).sum(axis=axis, keepdims=keepdim) if ord == 0 else (a**ord).sum(axis=axis, keepdims=keepdim) ** (1 / ord)

    def cases(self) -> Iterable[Case]:
        for p in (2, 1, 3, 0.5, math.inf, -math.inf, 0, -2):
            yield Case(T(3, 5, distinct=True, high=2.3), p, smooth=p != 0)
        yield from (Case(T(3, 5), 2, 1), Case(T(2, 3, 4), 3, dim=[0, 2], keepdim=True), Case(T()), Case(T(0)), Case(T(2, 0), 2, 1))
        yield Case(T(values=[[0.0, 0.0], [3.0, 4.0]], grad=False), 2, 1)
        yield Case(T(3, dtype="int64"), error=(RuntimeError, "norm: needs a floating dtype, got int64"))
