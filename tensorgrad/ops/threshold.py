"""threshold: y = x above a threshold, else a value."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import Piecewise
from ..tensor import Tensor


class Threshold(Piecewise):
    """y = x where x > threshold (or x is NaN), else value."""

    name = "threshold"
    function = True

    def forward(self, ctx: Node, input: Tensor, threshold: float, value: float) -> Tensor:
        return self.apply(ctx, input, threshold, value)

    def compute(self, xp: Any, x: Any, threshold: float, value: float) -> Any:
        return xp.where(x <= threshold, x.dtype.type(value), x)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return fn.where(x <= ctx.numbers[0], 0.0, g)

    def reference(self, x: Any, threshold: float, value: float) -> Any:
        return np.where(x <= threshold, value, x)

    def cases(self) -> Iterable[Case]:
        return [Case(T(*shape, distinct=True, high=2.3), 0.4, 7.0) for shape in ((0,), (), (7,), (3, 5))]
