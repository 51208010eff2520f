"""rsqrt: y = 1 / sqrt(x)."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Rsqrt(Unary):
    """y = 1 / sqrt(x); infinity at zero, NaN below."""

    name = "rsqrt"
    autocast = ("", "float32")
    saves = "output"
    domain = {"low": 0.1, "high": 3.0}

    def compute(self, xp: Any, x: Any) -> Any:
        return 1 / xp.sqrt(x)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (y,) = ctx.saved
        return g * (y * y * y * -0.5)

    def reference(self, x: Any) -> Any:
        return np.power(x, -0.5) if np.all(x > 0) else 1 / np.sqrt(x)
