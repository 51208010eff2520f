"""exp2: y = 2^x."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Exp2(Unary):
    """y = 2^x."""

    name = "exp2"
    places = ("special.exp2",)
    ufunc = "exp2"
    saves = "output"

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (y,) = ctx.saved
        return g * (y * math.log(2))

    def reference(self, x: Any) -> Any:
        return np.power(2.0, x)
