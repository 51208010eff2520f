"""sqrt: y = square root of x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Sqrt(Unary):
    """y = sqrt(x); NaN below zero."""

    name = "sqrt"
    ufunc = "sqrt"
    saves = "output"
    domain = {"low": 0.1, "high": 3.0}

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (y,) = ctx.saved
        return g / (y * 2.0)

    def reference(self, x: Any) -> Any:
        return np.sqrt(x)
