"""copysign: one number's magnitude, another's sign."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import Binary, summed
from ..tensor import Tensor


class Copysign(Binary):
    """z = |input| with the sign of `other`, that of zeros included."""

    name = "copysign"
    ufunc = "copysign"
    floats = True
    torch_number_first = False
    domain = ({"distinct": True, "high": 2.3}, {"distinct": True, "high": 2.3})

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, y = self.both(ctx)
        a, b = ctx.shapes
        turn = fn.copysign(fn.sign(x), y) * fn.sign(x) if isinstance(x, Tensor) else None
        return summed(g * turn, a) if ctx.edges[0] else None, g.new_zeros(b) if ctx.edges[1] else None

    def reference(self, x: Any, y: Any) -> Any:
        return np.copysign(x, y)

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(values=[1.0, -2.0, 0.0], grad=False), T(values=[-0.0, 0.0, -1.0], grad=False))
