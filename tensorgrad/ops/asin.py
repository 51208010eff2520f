"""asin: y = inverse sine of x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Asin(Unary):
    """y = arcsin(x) in [-pi/2, pi/2]; NaN outside [-1, 1]."""

    name = "asin"
    autocast = ("", "float32")
    aliases = ("arcsin",)
    ufunc = "arcsin"
    domain = {"low": -0.9, "high": 0.9}

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * (1.0 - x * x).rsqrt()

    def reference(self, x: Any) -> Any:
        return np.arcsin(x)
