"""erf: the error function."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Erf(Unary):
    """y = 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""

    name = "erf"
    places = ("special.erf",)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * ((-x * x).exp() * (2 / math.sqrt(math.pi)))

    def reference(self, x: Any) -> Any:
        return np.vectorize(math.erf, otypes=[np.float64])(x)
