"""expm1: y = e^x - 1."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Expm1(Unary):
    """y = e^x - 1, exact near zero."""

    name = "expm1"
    autocast = ("", "float32")
    places = ("special.expm1",)
    ufunc = "expm1"
    saves = "output"

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (y,) = ctx.saved
        return g * (y + 1.0)

    def reference(self, x: Any) -> Any:
        return np.expm1(x)
