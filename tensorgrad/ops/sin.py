"""sin: y = sine of x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Sin(Unary):
    """y = sin(x), x in radians."""

    name = "sin"
    ufunc = "sin"

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * x.cos()

    def reference(self, x: Any) -> Any:
        return np.sin(x)
