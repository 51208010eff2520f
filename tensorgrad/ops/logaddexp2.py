"""logaddexp2: z = log2(2^x + 2^y)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T, binary_shapes
from ..graph import Node
from ..pointwise import Binary, summed
from ..tensor import Tensor


class Logaddexp2(Binary):
    """z = log2(2^input + 2^other), without overflow."""

    name = "logaddexp2"
    ufunc = "logaddexp2"
    inplace = False
    torch_number_first = False

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, y = self.both(ctx)
        a, b = ctx.shapes
        s = ((x - y) * float(np.log(2))).sigmoid()
        return summed(g * s, a) if ctx.edges[0] else None, summed(g * (1.0 - s), b) if ctx.edges[1] else None

    def reference(self, x: Any, y: Any) -> Any:
        big = np.maximum(x, y)
        return big + np.log2(2 ** (x - big) + 2 ** (y - big))

    def cases(self) -> Iterable[Case]:
        yield from binary_shapes()
        yield Case(T(5, low=-500, high=500), T(5, low=-500, high=500))
