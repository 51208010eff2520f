"""rad2deg: radians as degrees."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Rad2Deg(Unary):
    """y = x 180 / pi."""

    name = "rad2deg"
    saves = ""

    def compute(self, xp: Any, x: Any) -> Any:
        return x * x.dtype.type(180 / math.pi)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return g * (180 / math.pi)

    def reference(self, x: Any) -> Any:
        return np.rad2deg(x)
