"""softshrink: y = x drawn towards zero."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import Piecewise
from ..tensor import Tensor


class Softshrink(Piecewise):
    """y = x - lambd above lambd, x + lambd below -lambd, else 0."""

    name = "softshrink"
    inplace = False

    def forward(self, ctx: Node, input: Tensor, lambd: float = 0.5) -> Tensor:
        if lambd < 0:
            raise RuntimeError(f"softshrink: lambd must not be negative, got {lambd}")
        return self.apply(ctx, input, lambd)

    def compute(self, xp: Any, x: Any, lambd: float) -> Any:
        kind = x.dtype.type
        return xp.where(xp.abs(x) <= lambd, kind(0), x - xp.copysign(kind(lambd), x))

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return fn.where(x.abs() <= ctx.numbers[0], 0.0, g)

    def reference(self, x: Any, lambd: float = 0.5) -> Any:
        return np.where(np.abs(x) <= lambd, 0, x - np.sign(x) * lambd)

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(7), -1.0, error=(RuntimeError, "softshrink: lambd must not be negative"))
