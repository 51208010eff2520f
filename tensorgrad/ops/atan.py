"""atan: y = inverse tangent of x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Atan(Unary):
    """y = arctan(x) in [-pi/2, pi/2]."""

    name = "atan"
    aliases = ("arctan",)
    ufunc = "arctan"

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g / (x * x + 1.0)

    def reference(self, x: Any) -> Any:
        return np.arctan(x)
