"""hardshrink: y = 0 near zero, else x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..op import fn
from ..pointwise import Piecewise
from ..tensor import Tensor


class Hardshrink(Piecewise):
    """y = x where |x| > lambd, else 0."""

    name = "hardshrink"
    function = method = True
    inplace = False

    def forward(self, ctx: Node, input: Tensor, lambd: float = 0.5) -> Tensor:
        return self.apply(ctx, input, lambd)

    def compute(self, xp: Any, x: Any, lambd: float) -> Any:
        return xp.where(xp.abs(x) <= lambd, x.dtype.type(0), x)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return fn.where(x.abs() <= ctx.numbers[0], 0.0, g)

    def reference(self, x: Any, lambd: float = 0.5) -> Any:
        return np.where(np.abs(x) <= lambd, 0, x)
