"""reciprocal: y = 1 / x."""
from __future__ import annotations

from typing import Any

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Reciprocal(Unary):
    """y = 1 / x."""

    name = "reciprocal"
    autocast = ("", "float32")
    saves = "output"
    domain = {"low": 0.5, "high": 2.0}

    def compute(self, xp: Any, x: Any) -> Any:
        return 1 / x

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (y,) = ctx.saved
        return -g * (y * y)

    def reference(self, x: Any) -> Any:
        return 1 / x
