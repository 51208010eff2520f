"""mean: y = average of x over some dimensions."""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dtypes import dtype as DType
from ..graph import Node
from ..op import rung
from ..pointwise import ALL_TYPES
from ..tensor import Tensor, wrap
from .shared.reduction import Reduction, numpy_sum, reduced_dims, spread


class Mean(Reduction):
    """The average over `dim` (one, several, or all of them), of floating tensors. An empty average is NaN."""

    name = "mean"

    def forward(self, ctx: Node, input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *,
                dtype: DType | None = None) -> Tensor:
        x = input.array
        kind = input.dtype if dtype is None else dtype
        if not kind.is_floating_point:
            raise RuntimeError(f"mean: needs a floating dtype, got {kind.name}; convert with .float(), or pass dtype=")
        dims = reduced_dims("mean", dim, x.ndim)
        ctx.shape, ctx.dims, ctx.keepdim, ctx.kind = x.shape, dims, keepdim, input.dtype
        ctx.count = math.prod([x.shape[d] for d in dims])
        return wrap(self.kernel(input.device, x)(x, dims, keepdim, kind.np, ctx.count), input.device)

    @staticmethod
    @rung("cpu/numpy", ALL_TYPES, writes=())
    def in_numpy(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, kind: Any, count: int) -> Any:
        """A sum by NumPy, divided."""
        wide = np.dtype(np.float32) if kind.itemsize == 2 else kind
        total = numpy_sum(xp, x, dims, keepdim, wide)
        return (total / wide.type(count) if count else total * np.nan).astype(kind, copy=False)

    def compiled(self, xp: Any, run: Any, x: Any, dims: tuple[int, ...], keepdim: bool, kind: Any, *numbers: float) -> Any:
        return super().compiled(xp, run, x.astype(kind, copy=False), dims, keepdim, kind, *numbers)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return spread(g * (1.0 / max(ctx.count, 1)), ctx.dims, ctx.keepdim).expand(ctx.shape).to(ctx.kind)

    def reference(self, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return x.mean(axis=tuple(dim) if isinstance(dim, list) else dim, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5)), Case(T(3, 5), dim=1), Case(T(2, 3, 5), dim=[0, -1], keepdim=True), Case(T()), Case(T(0, 3), dim=0))
        yield from (Case(T(0)), Case(T(2, 3), dim=2, error=(IndexError, "mean: dim 2 is out of range")))
        yield Case(T(2, dtype="int64", low=0, high=3), error=(RuntimeError, "mean: needs a floating dtype, got int64"))
