"""sum: y = sum of x over some dimensions."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import dispatch
from ..cases import Case, T
from ..dtypes import BY_NUMPY
from ..dtypes import dtype as DType
from ..graph import Node
from ..op import rung
from ..pointwise import ALL_TYPES
from ..tensor import Tensor, wrap
from .shared.reduction import Reduction, numpy_sum, reduced_dims


class Sum(Reduction):
    """The sum over `dim` (one, several, or all of them). Integers and bools add up in int64."""

    name = "sum"
    autocast = ("", "float32")

    def forward(self, ctx: Node, input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *,
                dtype: DType | None = None) -> Tensor:
        x = input.array
        dims = reduced_dims("sum", dim, x.ndim)
        kind = dtype.np if dtype is not None else (x.dtype if input.dtype.is_floating_point else np.dtype(np.int64))
        ctx.shape, ctx.dims, ctx.keepdim, ctx.kind = x.shape, dims, keepdim, input.dtype
        return wrap(self.kernel(input.device, x)(x, dims, keepdim, kind), input.device)

    @staticmethod
    @rung("cpu/numpy", ALL_TYPES, writes=())
    def in_numpy(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, kind: Any) -> Any:
        """By NumPy, in a dtype that is wide enough."""
        return numpy_sum(xp, x, dims, keepdim, kind)

    def compiled(self, xp: Any, run: Any, x: Any, dims: tuple[int, ...], keepdim: bool, kind: Any, *numbers: float) -> Any:
        own = x.dtype if BY_NUMPY[x.dtype].is_floating_point else np.dtype(np.int64)  # what a kernel adds up in
        if kind != own:
            x = x.astype(kind)
            own = kind if BY_NUMPY[kind].is_floating_point else np.dtype(np.int64)
        return super().compiled(xp, run, x, dims, keepdim, own, *numbers).astype(kind, copy=False)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        if not ctx.keepdim and len(ctx.dims) < len(ctx.shape):
            for d in sorted(ctx.dims):
                g = g.unsqueeze(d)
        return (g if g.dtype is ctx.kind else g.to(ctx.kind)).expand(ctx.shape)

    def reference(self, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return x.sum(axis=tuple(dim) if isinstance(dim, list) else dim, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5)), Case(T(3, 5), dim=1), Case(T(2, 3, 5), dim=[0, -1], keepdim=True), Case(T()), Case(T(0, 3), dim=0))
        yield Case(T(2, 3), dim=2, error=(IndexError, "sum: dim 2 is out of range"))


SUM: Any = dispatch._ops["sum"]
