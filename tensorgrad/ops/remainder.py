"""remainder: z = x mod y with the sign of y."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import Binary, refuse_zero, summed
from ..tensor import Tensor


class Remainder(Binary):
    """z = input - floor(input / other) * other: Python's %, with the sign of the divisor.

    A zero divisor gives NaN, and for integers a RuntimeError.
    """

    name = "remainder"
    operators = ("__mod__", "__rmod__", "__imod__")
    torch_number_first = False
    domain = ({}, {"low": 0.5, "high": 2.0})

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        if x.dtype.kind != "f":
            refuse_zero(xp, "remainder", y)
        return xp.remainder(x, y)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, y = self.both(ctx)
        a, b = ctx.shapes
        gy = summed(-g * fn.floor_divide(x, y), b) if ctx.edges[1] is not None else None
        return summed(g, a) if ctx.edges[0] is not None else None, gy

    def reference(self, x: Any, y: Any) -> Any:
        return x - np.floor(x / y) * y

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(7, dtype="int64", low=-9, high=9), T(7, dtype="int64", low=1, high=4))
