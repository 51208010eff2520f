"""relu: y = max(x, 0)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import dispatch
from ..cases import Case, T
from ..graph import Node
from ..op import Operand
from ..pointwise import Binary, Unary
from ..tensor import Tensor


class Relu(Unary):
    """y = max(x, 0); NaN stays NaN. The gradient at zero is 0."""

    name = "relu"
    functional = True
    float_only = False
    saves = "output"
    domain = {"distinct": True, "high": 2.3}

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.maximum(x, x.dtype.type(0))

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (y,) = ctx.saved
        return RELU_BACKWARD.call(g, y)

    def reference(self, x: Any) -> Any:
        return np.where(np.isnan(x) | (x > 0), x, 0.0)


class ReluBackward(Binary):
    """gx = 0 where y <= 0, else g (also where y is NaN), in one pass."""

    name = "relu_backward"
    group = "relu"
    function = method = inplace = False

    def forward(self, ctx: Node, g: Tensor, y: Tensor) -> Tensor:
        return super().forward(ctx, g, y)

    def compute(self, xp: Any, g: Any, y: Any) -> Any:
        return xp.where(y <= 0, g.dtype.type(0), g)

    def keep(self, ctx: Node, input: Operand, other: Operand, out: Tensor) -> None:
        ctx.save(other)

    def backward(self, ctx: Node, gg: Tensor) -> tuple:
        (y,) = ctx.saved
        return RELU_BACKWARD.call(gg, y), None

    def reference(self, g: Any, y: Any) -> Any:
        return np.where(y <= 0, 0.0, g)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(3, 5, grad=False)), Case(T(0), T(0)), Case(T(), T(grad=False)))


RELU_BACKWARD = dispatch._ops["relu_backward"]
