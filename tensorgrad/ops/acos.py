"""acos: y = inverse cosine of x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Acos(Unary):
    """y = arccos(x) in [0, pi]; NaN outside [-1, 1]."""

    name = "acos"
    autocast = ("", "float32")
    aliases = ("arccos",)
    ufunc = "arccos"
    domain = {"low": -0.9, "high": 0.9}

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return -g * (1.0 - x * x).rsqrt()

    def reference(self, x: Any) -> Any:
        return np.arccos(x)
