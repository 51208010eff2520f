"""sigmoid: y = 1 / (1 + e^-x)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import dispatch
from ..cases import Case, T
from ..graph import Node
from ..pointwise import Binary, Unary
from ..tensor import Tensor


class Sigmoid(Unary):
    """y = 1 / (1 + e^-x), without overflow at either end."""

    name = "sigmoid"
    places = ("special.expit",)
    aliases = ("expit",)
    functional = True
    saves = "output"

    def compute(self, xp: Any, x: Any) -> Any:
        return 1 / (1 + xp.exp(-x))

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (y,) = ctx.saved
        return SIGMOID_BACKWARD.call(g, y)

    def reference(self, x: Any) -> Any:
        e = np.exp(-np.abs(x))
        return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


class SigmoidBackward(Binary):
    """gx = g y (1 - y), in one pass."""

    name = "sigmoid_backward"
    group = "sigmoid"
    function = method = inplace = False

    def forward(self, ctx: Node, g: Tensor, y: Tensor) -> Tensor:
        return super().forward(ctx, g, y)

    def compute(self, xp: Any, g: Any, y: Any) -> Any:
        return g * (y * (1 - y))

    def backward(self, ctx: Node, gg: Tensor) -> tuple:
        g, y = ctx.saved
        return SIGMOID_BACKWARD.call(gg, y), gg * g * (1.0 - y * 2.0)

    def reference(self, g: Any, y: Any) -> Any:
        return g * y * (1 - y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(3, 5)), Case(T(0), T(0)), Case(T(), T()))


SIGMOID_BACKWARD = dispatch._ops["sigmoid_backward"]
