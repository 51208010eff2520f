"""logaddexp: z = ln(e^x + e^y)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T, binary_shapes
from ..graph import Node
from ..pointwise import Binary, summed
from ..tensor import Tensor


class Logaddexp(Binary):
    """z = ln(exp(input) + exp(other)), without overflow."""

    name = "logaddexp"
    ufunc = "logaddexp"
    inplace = False

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, y = self.both(ctx)
        a, b = ctx.shapes
        s = (x - y).sigmoid()
        return summed(g * s, a) if ctx.edges[0] else None, summed(g * (1.0 - s), b) if ctx.edges[1] else None

    def reference(self, x: Any, y: Any) -> Any:
        big = np.maximum(x, y)
        return big + np.log(np.exp(x - big) + np.exp(y - big))

    def cases(self) -> Iterable[Case]:
        yield from binary_shapes()
        yield Case(T(5, low=-500, high=500), T(5, low=-500, high=500))
