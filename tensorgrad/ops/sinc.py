"""sinc: sin(pi x) / (pi x)."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import Node
from ..op import fn
from ..pointwise import Unary
from ..tensor import Tensor


class Sinc(Unary):
    """y = sin(pi x) / (pi x), and 1 at 0."""

    name = "sinc"
    places = ("special.sinc",)

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.sinc(x).astype(x.dtype, copy=False)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        flat = x.abs() < 0.05  # the quotient loses its digits there: its Taylor series instead
        safe, s = fn.where(flat, 1.0, x), (x * math.pi).square()
        slope = ((safe * math.pi).cos() - (safe * math.pi).sin() / (safe * math.pi)) / safe
        near = x * (math.pi**2 * (-1 / 3)) * (1 - s / 10 * (1 - s / 28 * (1 - s / 54 * (1 - s / 88))))
        return g * fn.where(flat, near, slope)

    def reference(self, x: Any) -> Any:
        return np.sinc(x)
