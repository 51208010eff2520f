"""deg2rad: degrees as radians."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Deg2Rad(Unary):
    """y = x pi / 180."""

    name = "deg2rad"
    saves = ""

    def compute(self, xp: Any, x: Any) -> Any:
        return x * x.dtype.type(math.pi / 180)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return g * (math.pi / 180)

    def reference(self, x: Any) -> Any:
        return np.deg2rad(x)
