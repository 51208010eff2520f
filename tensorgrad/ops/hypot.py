"""hypot: z = sqrt(x^2 + y^2)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, binary_shapes
from ..graph import Node
from ..op import Operand
from ..pointwise import Binary, keep_shapes, summed
from ..tensor import Tensor


class Hypot(Binary):
    """z = sqrt(input^2 + other^2), without overflow."""

    name = "hypot"
    ufunc = "hypot"
    torch_number_first = False
    domain = ({"low": 0.3, "high": 2.0}, {"low": 0.3, "high": 2.0})

    def keep(self, ctx: Node, input: Operand, other: Operand, out: Tensor) -> None:
        keep_shapes(ctx, input, other)
        ctx.save(input if isinstance(input, Tensor) else None, other if isinstance(other, Tensor) else None, out)
        ctx.number = other if ctx.shapes[1] is None else input

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, y, z = ctx.saved
        a, b = ctx.shapes
        scaled = g / z
        gx = summed(scaled * x, a) if ctx.edges[0] else None
        return gx, summed(scaled * y, b) if ctx.edges[1] else None

    def reference(self, x: Any, y: Any) -> Any:
        return np.sqrt(x * x + y * y)

    def cases(self) -> Iterable[Case]:
        yield from binary_shapes(*self.domain)
