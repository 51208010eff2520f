"""mul: z = x * y."""
from __future__ import annotations

from typing import Any

from ..autograd import Node
from ..op import Operand
from ..pointwise import Binary, keep_shapes, summed
from ..tensor import Tensor


class Mul(Binary):
    """z = input * other, with broadcasting and promotion."""

    name = "mul"
    aliases = ("multiply",)
    operators = ("__mul__", "__rmul__", "__imul__")

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.multiply(x, y)

    def keep(self, ctx: Node, input: Operand, other: Operand, out: Tensor) -> None:
        keep_shapes(ctx, input, other)
        x_wanted, y_wanted = (e is not None for e in ctx.edges)  # each gradient needs the other operand only
        ctx.save(input if y_wanted and isinstance(input, Tensor) else None, other if x_wanted and isinstance(other, Tensor) else None)
        ctx.number = other if ctx.shapes[1] is None else input if ctx.shapes[0] is None else None

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x_wanted, y_wanted = (e is not None for e in ctx.edges)
        x, y = ctx.saved
        gx = summed(g * (ctx.number if y is None else y), ctx.shapes[0]) if x_wanted else None
        return gx, summed(g * (ctx.number if x is None else x), ctx.shapes[1]) if y_wanted else None

    def reference(self, x: Any, y: Any) -> Any:
        return x * y
