"""sub: z = x - alpha * y."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..graph import Node
from ..op import Operand
from ..pointwise import Binary, keep_shapes, summed
from ..tensor import Tensor


class Sub(Binary):
    """z = input - alpha * other, with broadcasting and promotion. Bools are refused: use ^ or logical_xor."""

    name = "sub"
    ufunc = "subtract"
    aliases = ("subtract",)
    operators = ("__sub__", "__rsub__", "__isub__")

    def forward(self, ctx: Node, input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
        if _is_bool(input) or _is_bool(other):
            raise RuntimeError("sub: bools cannot be subtracted; use ^ or logical_xor, or convert with .long()")
        if alpha != 1:
            other = other * alpha
        ctx.alpha = alpha
        return super().forward(ctx, input, other)

    def keep(self, ctx: Node, input: Operand, other: Operand, out: Tensor) -> None:
        keep_shapes(ctx, input, other)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        a, b = ctx.shapes
        to_input, to_other = ctx.edges
        return summed(g, a) if to_input else None, summed(-g if ctx.alpha == 1 else g * -ctx.alpha, b) if to_other else None

    def reference(self, x: Any, y: Any, alpha: float = 1) -> Any:
        return x - alpha * y

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(3, 2), T(2), alpha=2.5)
        yield Case(T(2, dtype="bool"), T(2), error=(RuntimeError, "sub: bools cannot be subtracted"))
        yield Case(T(2, 3), T(2), error=(RuntimeError, "sub: shapes (2, 3) and (2,) do not broadcast"))


def _is_bool(value: Operand) -> bool:
    return value.array.dtype.kind == "b" if isinstance(value, Tensor) else isinstance(value, bool)
