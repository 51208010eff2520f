"""hardswish: y = x hardsigmoid(x)."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..op import fn
from ..pointwise import Piecewise
from ..tensor import Tensor


class Hardswish(Piecewise):
    """y = x min(max(x + 3, 0), 6) / 6 (Howard et al., 2019)."""

    name = "hardswish"

    def compute(self, xp: Any, x: Any) -> Any:
        return x * xp.clip(x + 3, 0, 6) / 6

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return fn.where(x <= -3, 0.0, fn.where(x < 3, g * (x * (1 / 3) + 0.5), g))

    def reference(self, x: Any) -> Any:
        with np.errstate(invalid="ignore"):
            return x * np.clip(x + 3, 0, 6) / 6
