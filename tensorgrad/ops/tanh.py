"""tanh: y = hyperbolic tangent of x."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import dispatch
from ..cases import Case, T
from ..graph import Node
from ..pointwise import Binary, Unary
from ..tensor import Tensor


class Tanh(Unary):
    """y = (e^x - e^-x) / (e^x + e^-x)."""

    name = "tanh"
    ufunc = "tanh"
    functional = True
    saves = "output"

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (y,) = ctx.saved
        return TANH_BACKWARD.call(g, y)

    def reference(self, x: Any) -> Any:
        return np.tanh(x)


class TanhBackward(Binary):
    """gx = g (1 - y^2), in one pass."""

    name = "tanh_backward"
    group = "tanh"
    function = method = inplace = False

    def forward(self, ctx: Node, g: Tensor, y: Tensor) -> Tensor:
        return super().forward(ctx, g, y)

    def compute(self, xp: Any, g: Any, y: Any) -> Any:
        return g * (1 - y * y)

    def backward(self, ctx: Node, gg: Tensor) -> tuple:
        g, y = ctx.saved
        return TANH_BACKWARD.call(gg, y), gg * g * y * -2.0

    def reference(self, g: Any, y: Any) -> Any:
        return g * (1 - y**2)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(3, 5)), Case(T(0), T(0)), Case(T(), T()))


TANH_BACKWARD = dispatch._ops["tanh_backward"]
