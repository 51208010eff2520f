"""hardsigmoid: y = a straight line from 0 to 1."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import Piecewise
from ..tensor import Tensor


class Hardsigmoid(Piecewise):
    """y = min(max(x + 3, 0), 6) / 6. (PyTorch's gradient in float64 has 1/6 to 8 digits only.)"""

    name = "hardsigmoid"

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.clip(x + 3, 0, 6) / 6

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return fn.where(fn.logical_and(x > -3, x < 3), g * (1 / 6), 0.0)

    def reference(self, x: Any) -> Any:
        return np.clip(x + 3, 0, 6) / 6

    def cases(self) -> Iterable[Case]:
        for case in super().cases():
            case.torch = not case.args[0].grad
            yield case
        yield Case(T(3, 5, low=-5, high=5, grad=False))
