"""trunc_divide: the quotient rounded towards zero."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Binary, refuse_zero
from ..tensor import Tensor


class TruncDivide(Binary):
    """z = trunc(input / other): what `div(..., rounding_mode="trunc")` computes. A zero divisor of integers is a RuntimeError.

    The gradient is zero."""

    name = "trunc_divide"
    function = method = False
    inplace = False
    domain = ({"grad": False}, {"low": 0.5, "high": 2.0, "grad": False})

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        if x.dtype.kind == "f" or y.dtype.kind == "f":
            return xp.trunc(x / y)
        refuse_zero(xp, "div", y)
        return (x - xp.fmod(x, y)) // y  # exact for 64 bits, where a floating quotient is not

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        return tuple([None if shape is None else g.new_zeros(shape) for shape in ctx.shapes])

    def reference(self, x: Any, y: Any) -> Any:
        return np.trunc(np.true_divide(x, y))
