"""sinh: y = hyperbolic sine of x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Sinh(Unary):
    """y = (e^x - e^-x) / 2."""

    name = "sinh"
    autocast = ("", "float32")
    ufunc = "sinh"

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * x.cosh()

    def reference(self, x: Any) -> Any:
        return np.sinh(x)
