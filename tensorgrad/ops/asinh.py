"""asinh: y = inverse hyperbolic sine of x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Asinh(Unary):
    """y = ln(x + sqrt(x^2 + 1))."""

    name = "asinh"
    aliases = ("arcsinh",)
    ufunc = "arcsinh"

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * (x * x + 1.0).rsqrt()

    def reference(self, x: Any) -> Any:
        return np.arcsinh(x)
