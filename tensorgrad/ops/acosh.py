"""acosh: y = inverse hyperbolic cosine of x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Acosh(Unary):
    """y = ln(x + sqrt(x^2 - 1)) for x >= 1; NaN below."""

    name = "acosh"
    aliases = ("arccosh",)
    ufunc = "arccosh"
    domain = {"low": 1.2, "high": 3.0}

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * (x * x - 1.0).rsqrt()

    def reference(self, x: Any) -> Any:
        return np.arccosh(x)
