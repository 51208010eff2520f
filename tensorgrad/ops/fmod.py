"""fmod: z = x mod y with the sign of x."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import Binary, refuse_zero, summed
from ..tensor import Tensor


class Fmod(Binary):
    """z = input - trunc(input / other) * other: C's fmod, with the sign of the dividend. A zero divisor of integers is an error."""

    name = "fmod"
    torch_number_first = False
    domain = ({}, {"low": 0.5, "high": 2.0})

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        if x.dtype.kind != "f":
            refuse_zero(xp, "fmod", y)
        return xp.fmod(x, y)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, y = self.both(ctx)
        a, b = ctx.shapes
        gy = summed(-g * fn.trunc_divide(x, y), b) if ctx.edges[1] is not None else None
        return summed(g, a) if ctx.edges[0] is not None else None, gy

    def reference(self, x: Any, y: Any) -> Any:
        return x - np.trunc(x / y) * y

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(7, dtype="int64", low=-9, high=9), T(7, dtype="int64", low=1, high=4))
