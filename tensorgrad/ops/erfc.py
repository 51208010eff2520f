"""erfc: the complementary error function."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Erfc(Unary):
    """y = 1 - erf(x), exact in the tail."""

    name = "erfc"
    places = ("special.erfc",)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * ((-x * x).exp() * (-2 / math.sqrt(math.pi)))

    def reference(self, x: Any) -> Any:
        return np.vectorize(math.erfc, otypes=[np.float64])(x)
