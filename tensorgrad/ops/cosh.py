"""cosh: y = hyperbolic cosine of x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Cosh(Unary):
    """y = (e^x + e^-x) / 2."""

    name = "cosh"
    autocast = ("", "float32")
    ufunc = "cosh"

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * x.sinh()

    def reference(self, x: Any) -> Any:
        return np.cosh(x)
