"""add: z = x + alpha * y."""
from __future__ import annotations

from typing import Any

from ..graph import Node
from ..op import Operand
from ..pointwise import Binary, keep_shapes, summed
from ..tensor import Tensor


class Add(Binary):
    """z = input + alpha * other, with broadcasting and promotion."""

    name = "add"
    ufunc = "add"
    operators = ("__add__", "__radd__", "__iadd__")

    def forward(self, ctx: Node, input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
        if alpha != 1:
            other = other * alpha
        ctx.alpha = alpha
        return super().forward(ctx, input, other)

    def keep(self, ctx: Node, input: Operand, other: Operand, out: Tensor) -> None:
        keep_shapes(ctx, input, other)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        a, b = ctx.shapes
        return summed(g, a), summed(g if ctx.alpha == 1 else g * ctx.alpha, b)

    def reference(self, x: Any, y: Any, alpha: float = 1) -> Any:
        return x + alpha * y
