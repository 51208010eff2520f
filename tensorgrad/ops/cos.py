"""cos: y = cosine of x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Cos(Unary):
    """y = cos(x), x in radians."""

    name = "cos"
    ufunc = "cos"

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return -g * x.sin()

    def reference(self, x: Any) -> Any:
        return np.cos(x)
