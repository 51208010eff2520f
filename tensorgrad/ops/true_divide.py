"""true_divide: z = x / y."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Operand
from ..pointwise import Binary, keep_shapes, summed
from ..tensor import Tensor


class TrueDivide(Binary):
    """z = input / other, with broadcasting and promotion; integers give a floating quotient."""

    name = "true_divide"
    ufunc = "true_divide"
    operators = ("__truediv__", "__rtruediv__", "__itruediv__")
    floats = True
    domain = ({}, {"low": 0.5, "high": 2.0})

    def keep(self, ctx: Node, input: Operand, other: Operand, out: Tensor) -> None:
        keep_shapes(ctx, input, other)
        a, b = ctx.shapes
        ctx.save(input if ctx.edges[1] and a is not None else None, other if b is not None else None)
        if a is None or b is None:
            ctx.number = other if b is None else input

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        a, b = ctx.shapes
        to_input, to_other = ctx.edges
        x, y = ctx.saved
        gx = g / (ctx.number if b is None else y)
        gy = summed(-gx * ((ctx.number if a is None else x) / y), b) if to_other else None
        return summed(gx, a) if to_input else None, gy

    def reference(self, x: Any, y: Any) -> Any:
        return np.true_divide(x, y)

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(values=[1.0, -1.0, 0.0, np.inf, np.nan], grad=False), T(values=[0.0, 0.0, 0.0, np.inf, 1.0], grad=False))
