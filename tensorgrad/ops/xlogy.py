"""xlogy: z = x ln y."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import Binary, summed
from ..tensor import Tensor


class Xlogy(Binary):
    """z = input * ln(other), and 0 where input is 0 (unless other is NaN)."""

    name = "xlogy"
    places = ("special.xlogy",)
    floats = True
    domain = ({}, {"low": 0.3, "high": 2.0})

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.where(xp.isnan(y), y, xp.where(x == 0, x.dtype.type(0), x * xp.log(y)))

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, y = self.both(ctx)
        a, b = ctx.shapes
        gx = None
        if ctx.edges[0]:
            log = y.log() if isinstance(y, Tensor) else math.log(y) if y > 0 else -math.inf if y == 0 else math.nan
            zero = fn.logical_and(x == 0, y <= 0) if isinstance(y, Tensor) else fn.logical_and(x == 0, x.new_full(x.shape, y) <= 0)
            gx = summed(fn.where(zero, 0.0, g * log), a)
        return gx, summed(g * (x / y), b) if ctx.edges[1] else None

    def reference(self, x: Any, y: Any) -> Any:
        return x * np.log(y)

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(values=[0.0, 0.0, 0.0, 1.0, 2.0], grad=False), T(values=[1.0, 3.0, 2.0, 0.0, np.nan], grad=False))
