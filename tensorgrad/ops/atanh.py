"""atanh: y = inverse hyperbolic tangent of x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Atanh(Unary):
    """y = ln((1 + x) / (1 - x)) / 2; infinite at -1 and 1, NaN outside."""

    name = "atanh"
    aliases = ("arctanh",)
    ufunc = "arctanh"
    domain = {"low": -0.9, "high": 0.9}

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g / (1.0 - x * x)

    def reference(self, x: Any) -> Any:
        return np.arctanh(x)
