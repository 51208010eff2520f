"""mul: z = x * y."""
from __future__ import annotations

from typing import Any

from ..graph import Node
from ..op import Operand
from ..pointwise import Binary, keep_shapes, summed
from ..tensor import Tensor


class Mul(Binary):
    """z = input * other, with broadcasting and promotion."""

    name = "mul"
    ufunc = "multiply"
    aliases = ("multiply",)
    operators = ("__mul__", "__rmul__", "__imul__")

    def keep(self, ctx: Node, input: Operand, other: Operand, out: Tensor) -> None:
        keep_shapes(ctx, input, other)
        a, b = ctx.shapes
        to_input, to_other = ctx.edges  # each gradient needs the other operand only
        ctx.save(input if to_other and a is not None else None, other if to_input and b is not None else None)
        if a is None or b is None:
            ctx.number = other if b is None else input

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        a, b = ctx.shapes
        to_input, to_other = ctx.edges
        x, y = ctx.saved
        gx = summed(g * (ctx.number if b is None else y), a) if to_input else None
        return gx, summed(g * (ctx.number if a is None else x), b) if to_other else None

    def reference(self, x: Any, y: Any) -> Any:
        return x * y
