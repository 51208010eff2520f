"""mul: z = x * y."""
from __future__ import annotations

from typing import Any

from ..autograd import Node
from ..pointwise import Binary, summed
from ..tensor import Tensor


class Mul(Binary):
    """z = input * other, with broadcasting and promotion."""

    name = "mul"
    aliases = ("multiply",)
    operators = ("__mul__", "__rmul__", "__imul__")

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.multiply(x, y)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, y = self.both(ctx)
        a, b = ctx.shapes
        return (summed(g * y, a) if ctx.edges[0] else None), (summed(g * x, b) if ctx.edges[1] else None)

    def reference(self, x: Any, y: Any) -> Any:
        return x * y
