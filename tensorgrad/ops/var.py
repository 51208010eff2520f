"""var: variance."""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..cases import Case
from ..graph import Node
from ..tensor import Tensor, wrap
from .shared.reduction import Spread, spread, variance_arguments, variance_cases


class Var(Spread):
    """The variance over `dim`: sum (x - mean)^2 / max(0, n - correction). `unbiased=True` is correction 1 (the default), False is 0."""

    name = "var"

    def forward(self, ctx: Node, input: Tensor, dim: int | Sequence[int] | bool | None = None, unbiased: bool | None = None,
                keepdim: bool = False, *, correction: float | None = None) -> Tensor:
        x = input.array
        dims, c = variance_arguments("var", input, dim, unbiased, correction)
        ctx.dims, ctx.keepdim = dims, keepdim
        ctx.divisor = max(0.0, math.prod([x.shape[d] for d in dims]) - c)
        ctx.save(input)
        return wrap(self.kernel(input.device, x)(x, dims, keepdim, x.dtype, ctx.divisor), input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        scale = 2.0 / ctx.divisor if ctx.divisor else math.inf
        return spread(g * scale, ctx.dims, ctx.keepdim) * (x - x.mean(ctx.dims, True))

    def reference(self, x: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, correction: Any = None) -> Any:
        dim, unbiased = (None, dim) if isinstance(dim, bool) else (dim, unbiased)
        ddof = correction if correction is not None else 1 if unbiased is None else int(unbiased)
        return x.var(axis=tuple(dim) if isinstance(dim, list) else dim, ddof=ddof, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        return variance_cases("var")
