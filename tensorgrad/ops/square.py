"""square: y = x^2."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Square(Unary):
    """y = x * x; bools become int64."""

    name = "square"
    autocast = ("", "float32")
    float_only = False

    def compute(self, xp: Any, x: Any) -> Any:
        return x * x if x.dtype.kind != "b" else x.astype(np.int64)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * (x * 2.0)

    def reference(self, x: Any) -> Any:
        return x**2
