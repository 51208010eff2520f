"""fmax: the larger of two numbers, NaN passed over."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import Binary, summed
from ..tensor import Tensor


class Fmax(Binary):
    """z = the larger of input and other; where one is NaN, the other. Where they are equal the gradient goes to the first."""

    name = "fmax"
    ufunc = "fmax"
    inplace = False
    torch_number_first = False
    domain = ({"distinct": True, "high": 2.3}, {"distinct": True, "low": -2.1, "high": 2.1})

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, y = self.both(ctx)
        a, b = ctx.shapes
        first = fn.logical_or(x >= y, y != y) if isinstance(y, Tensor) else x >= y
        return summed(fn.where(first, g, 0.0), a) if ctx.edges[0] else None, summed(fn.where(first, 0.0, g), b) if ctx.edges[1] else None

    def reference(self, x: Any, y: Any) -> Any:
        return np.fmax(x, y)

    def cases(self) -> Iterable[Case]:
        a, b = self.domain
        yield from (Case(T(5, **a), T(5, **b)), Case(T(3, 5, **a), T(5, **b)), Case(T(0), T(0)), Case(T(2, 3, **a), T(**b)))
        yield Case(T(values=[1.0, np.nan, 3.0, np.nan], grad=False), T(values=[np.nan, 2.0, 1.0, np.nan], grad=False))
        yield Case(T(4, dtype="int64", low=-5, high=5), T(4, dtype="int64", low=-5, high=5))
