"""cumprod: running product."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dtypes import dtype as DType
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap


class Cumprod(Op):
    """y_i = x_0 ... x_i along `dim`; integers and bools multiply in int64. The gradient is exact where elements are zero."""

    name = "cumprod"
    autocast = ("", "float32")
    inplace = True

    def forward(self, ctx: Node, input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
        x = input.array
        d = check_dim("cumprod", dim, x.ndim)
        kind = dtype.np if dtype is not None else (x.dtype if input.dtype.is_floating_point else np.dtype(np.int64))
        wide = kind if kind.kind in "biu" else np.float64
        with np.errstate(all="ignore"):
            y = x if x.ndim == 0 else input.device.backend.xp.cumprod(x.astype(wide, copy=False), axis=d, dtype=wide)
            y = y.astype(kind, copy=x.ndim == 0)
        out = wrap(y, input.device)
        ctx.dim, ctx.kind = d, input.dtype
        ctx.save(input, out)
        return out

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        x, y = ctx.saved
        d = ctx.dim
        if not x.array.ndim:
            return g.to(ctx.kind)
        if x.dtype is not g.dtype:
            x = x.to(g.dtype)
        if not x.device.backend.capturing() and x.array.all():  # a graph is made for zeros too
            return ((g * y).flip(d).cumsum(d).flip(d) / x).to(ctx.kind)
        # dy_j / dx_k for j >= k is the running product in which x_k is 1.
        n, xp = x.array.shape[d], x.device.backend.xp
        rows = x.movedim(d, -1)
        own, later = (wrap(table, x.device) for table in (xp.eye(n, dtype=np.bool_), xp.tri(n, dtype=np.bool_).T))
        table = fn.where(own, 1.0, rows.unsqueeze(-2).expand(*rows.shape[:-1], n, n)).cumprod(-1)
        return (fn.where(later, table, 0.0) * g.movedim(d, -1).unsqueeze(-2)).sum(-1).movedim(-1, d).to(ctx.kind)

    def reference(self, x: Any, dim: int) -> Any:
        return np.cumprod(x, axis=dim) if x.ndim else x

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7), 0), Case(T(3, 5), 1), Case(T(2, 3, 4), -2), Case(T(), 0), Case(T(0), 0), Case(T(2, 0), 0))
        yield from (Case(T(values=[[1.0, 0.0, 3.0, 2.0], [0.0, 0.0, 2.0, 1.0]]), 1), Case(T(5, dtype="int64", low=-3, high=3), 0))
        yield Case(T(2, 3), 2, error=(IndexError, "cumprod: dim 2 is out of range"))
