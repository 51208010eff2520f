"""neg: y = -x."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Neg(Unary):
    """y = -x; unsigned integers wrap around."""

    name = "neg"
    ufunc = "negative"
    aliases = ("negative",)
    operators = ("__neg__",)
    float_only = False
    saves = ""

    def forward(self, ctx: Node, input: Tensor) -> Tensor:
        if input.array.dtype.kind == "b":
            raise RuntimeError("neg: bools have no negative; use ~ or logical_not")
        return super().forward(ctx, input)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return -g

    def reference(self, x: Any) -> Any:
        return -x

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(4, dtype="int64", low=-5, high=5))
        yield Case(T(2, dtype="bool"), error=(RuntimeError, "neg: bools have no negative"))
