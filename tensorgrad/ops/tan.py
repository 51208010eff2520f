"""tan: y = tangent of x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Tan(Unary):
    """y = tan(x), x in radians."""

    name = "tan"
    autocast = ("", "float32")
    ufunc = "tan"
    saves = "output"
    domain = {"low": -1.2, "high": 1.2}

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (y,) = ctx.saved
        return g * (y * y + 1.0)

    def reference(self, x: Any) -> Any:
        return np.tan(x)
