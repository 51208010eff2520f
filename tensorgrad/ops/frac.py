"""frac: y = the fraction of x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Frac(Unary):
    """y = x - trunc(x), with the sign of x."""

    name = "frac"
    saves = ""

    def compute(self, xp: Any, x: Any) -> Any:
        return x - xp.trunc(x)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return g

    def reference(self, x: Any) -> Any:
        return x - np.trunc(x)
