"""bitwise_not: y = ~x."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class BitwiseNot(Unary):
    """y = ~x, every bit flipped, for integers and bools."""

    name = "bitwise_not"
    ufunc = "invert"
    operators = ("__invert__",)
    float_only = differentiable = False
    saves = ""

    def forward(self, ctx: Node, input: Tensor) -> Tensor:
        if input.dtype.is_floating_point:
            raise RuntimeError(f"bitwise_not: expected integers or bools, got {input.dtype.name}")
        return super().forward(ctx, input)

    def reference(self, x: Any) -> Any:
        return ~x

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, dtype="bool")), Case(T(2, 3, dtype="int64", low=-9, high=9)), Case(T(4, dtype="uint8", low=0, high=255)))
        yield Case(T(3), error=(RuntimeError, "bitwise_not: expected integers or bools, got float32"))
