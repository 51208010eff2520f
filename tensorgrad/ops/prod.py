"""prod: y = product of x over a dimension."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dtypes import dtype as DType
from ..graph import MODE, Node
from ..op import fn, rung
from ..pointwise import ALL_TYPES
from ..tensor import Tensor, wrap
from .shared.reduction import Reduction, reduced_dims, spread


class Prod(Reduction):
    """The product over `dim`, or of all elements; integers and bools multiply in int64. The gradient is exact where elements are zero."""

    name = "prod"
    autocast = ("float32", "float32")

    def forward(self, ctx: Node, input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
        x = input.array
        dims = reduced_dims("prod", dim, x.ndim)
        kind = dtype.np if dtype is not None else (x.dtype if input.dtype.is_floating_point else np.dtype(np.int64))
        out = wrap(self.kernel(input.device, x)(x, dims, keepdim, kind), input.device)
        ctx.dims, ctx.keepdim, ctx.kind = dims, keepdim, input.dtype
        ctx.save(input, out)
        return out

    @staticmethod
    @rung("cpu/numpy", ALL_TYPES, writes=())
    def in_numpy(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, kind: Any) -> Any:
        """By NumPy, half precision in float32."""
        wide = np.float32 if kind.itemsize == 2 and kind.kind != "i" else kind
        with np.errstate(all="ignore"):
            return xp.prod(x, axis=dims, dtype=wide, keepdims=keepdim).astype(kind, copy=False)

    def compiled(self, xp: Any, run: Any, x: Any, dims: tuple[int, ...], keepdim: bool, kind: Any, *numbers: float) -> Any:
        if kind.kind in "iub":  # the kernels multiply floats
            return self.in_numpy(x, dims, keepdim, kind)
        return super().compiled(xp, run, x.astype(kind, copy=False), dims, keepdim, kind, *numbers)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        x, y = ctx.saved
        if x.dtype is not g.dtype:
            x = x.to(g.dtype)
        g = spread(g, ctx.dims, ctx.keepdim)
        captured = x.device.backend.capturing()  # a graph is made for zeros too
        if captured and not MODE.enabled:
            dim, zero = None if len(ctx.dims) == x.ndim else ctx.dims[0], fn.eq(x, 0)
            rest = fn.masked_fill(x, zero, 1)
            others = fn.prod(rest, dim, True) / rest
            zeros = fn.sum(zero, dim, True) - zero.long()  # among the others
            return (g * fn.where(fn.eq(zeros, 0), others, 0.0)).to(ctx.kind)
        if not captured and x.array.all():
            return (g * (spread(y, ctx.dims, ctx.keepdim) / x)).to(ctx.kind)
        # Each element's gradient is the product of the others: a table in which one of them is 1.
        whole = len(ctx.dims) == len(x.array.shape)
        d = 0 if whole else ctx.dims[0]
        rows = x.reshape(-1) if whole else x.movedim(d, -1)
        n = rows.array.shape[-1]
        own = wrap(x.device.backend.xp.eye(n, dtype=np.bool_), x.device)
        others = fn.where(own, 1.0, rows.unsqueeze(-2).expand(*rows.shape[:-1], n, n)).prod(-1)
        return (g * (others.reshape(x.shape) if whole else others.movedim(-1, d))).to(ctx.kind)

    def reference(self, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return np.prod(x, axis=dim, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3)), Case(T(3, 5), 1), Case(T(2, 3, 4), dim=0, keepdim=True), Case(T()), Case(T(0)), Case(T(2, 0), 1))
        yield from (Case(T(values=[[1.0, 0.0, 3.0], [0.0, 0.0, 2.0]]), 1), Case(T(values=[2.0, 0.0, 3.0])))
        yield from (Case(T(4, dtype="int64", low=-3, high=3)), Case(T(2, 3), 2, error=(IndexError, "prod: dim 2 is out of range")))
