"""floor_divide: the quotient rounded down."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..pointwise import Binary, refuse_zero
from ..tensor import Tensor


class FloorDivide(Binary):
    """z = floor(input / other), integer for integers, where a zero divisor is a RuntimeError. The gradient is zero."""

    name = "floor_divide"
    operators = ("__floordiv__", "__rfloordiv__", "__ifloordiv__")
    torch_number_first = False
    domain = ({"grad": False}, {"low": 0.5, "high": 2.0, "grad": False})

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        if x.dtype.kind == "f":
            return xp.floor_divide(x, y)
        refuse_zero(xp, "floor_divide", y)
        return xp.floor_divide(x, y)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        return tuple([None if shape is None else g.new_zeros(shape) for shape in ctx.shapes])

    def reference(self, x: Any, y: Any) -> Any:
        return np.floor(np.true_divide(x, y))

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(7, dtype="int64", low=-9, high=9), T(7, dtype="int64", low=1, high=4))
        yield Case(T(values=[1.0, -1.0, 0.0, np.nan], grad=False), T(values=[0.0, 0.0, 0.0, 1.0], grad=False))
        yield Case(T(values=[1], dtype="int64"), T(values=[0], dtype="int64"),
                   error=(RuntimeError, "floor_divide: division of an integer by zero"))
