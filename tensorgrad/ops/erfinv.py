"""erfinv: the inverse of the error function."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Erfinv(Unary):
    """y with erf(y) = x; infinite at -1 and 1, NaN outside.

    A rational approximation (Giles, "Approximating the erfinv function", 2010) sharpened by Newton steps on erf and erfc.
    """

    name = "erfinv"
    autocast = ("", "float32")
    places = ("special.erfinv",)
    saves = "output"
    domain = {"low": -0.95, "high": 0.95}

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (y,) = ctx.saved
        return g * ((y * y).exp() * (math.sqrt(math.pi) / 2))

    def reference(self, x: Any) -> Any:
        def invert(v: float) -> float:  # bisection
            if not abs(v) < 1:
                return v * math.inf if abs(v) == 1 else math.nan
            low, high = 0.0, 6.0
            for _ in range(80):
                middle = (low + high) / 2
                low, high = (middle, high) if math.erf(middle) < abs(v) else (low, middle)
            return math.copysign(low, v)

        return np.vectorize(invert, otypes=[np.float64])(x)
