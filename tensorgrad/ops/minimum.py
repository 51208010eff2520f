"""minimum: z = min(x, y)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T, binary_shapes
from ..graph import Node
from ..op import fn
from ..pointwise import Binary, summed
from ..tensor import Tensor


class Minimum(Binary):
    """z = the smaller of input and other; NaN wins. Where they are equal each gets half of the gradient."""

    name = "minimum"
    ufunc = "minimum"
    inplace = False
    domain = ({"distinct": True}, {"distinct": True, "low": -2.1, "high": 2.2})

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, y = self.both(ctx)
        a, b = ctx.shapes
        half = fn.where(x == y, g * 0.5, g)
        gx = summed(fn.where(x > y, 0.0, half), a) if ctx.edges[0] is not None else None
        return gx, summed(fn.where(x < y, 0.0, half), b) if ctx.edges[1] is not None else None

    def reference(self, x: Any, y: Any) -> Any:
        return np.where(np.isnan(x) | (x < y), x, y)

    def cases(self) -> Iterable[Case]:
        yield from binary_shapes(*self.domain)
        yield Case(T(values=[1.0, np.nan, 2.0, -np.inf], grad=False), T(values=[np.nan, 1.0, 2.0, np.inf], grad=False))
