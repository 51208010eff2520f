"""std: standard deviation."""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..cases import Case
from ..graph import Node
from ..op import fn
from ..tensor import Tensor, wrap
from .shared.reduction import Spread, spread, variance_arguments, variance_cases


class Std(Spread):
    """The standard deviation over `dim`: the root of `var`. Where it is 0 its gradient is 0 too."""

    name = "std"

    def forward(self, ctx: Node, input: Tensor, dim: int | Sequence[int] | bool | None = None, unbiased: bool | None = None,
                keepdim: bool = False, *, correction: float | None = None) -> Tensor:
        x = input.array
        dims, c = variance_arguments("std", input, dim, unbiased, correction)
        ctx.dims, ctx.keepdim = dims, keepdim
        ctx.divisor = max(0.0, math.prod([x.shape[d] for d in dims]) - c)
        out = wrap(self.kernel(input.device, x)(x, dims, keepdim, x.dtype, ctx.divisor), input.device)
        ctx.save(input, out)
        return out

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        x, y = ctx.saved
        scale = 1.0 / ctx.divisor if ctx.divisor else math.inf
        g = fn.where(y == 0, 0.0, g / y) * scale
        return spread(g, ctx.dims, ctx.keepdim) * (x - x.mean(ctx.dims, True))

    def reference(self, x: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, correction: Any = None) -> Any:
        dim, unbiased = (None, dim) if isinstance(dim, bool) else (dim, unbiased)
        ddof = correction if correction is not None else 1 if unbiased is None else int(unbiased)
        return x.std(axis=tuple(dim) if isinstance(dim, list) else dim, ddof=ddof, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        return variance_cases("std")
