"""atan2: the angle of the point (other, input)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T, binary_shapes
from ..graph import Node
from ..pointwise import Binary, summed
from ..tensor import Tensor


class Atan2(Binary):
    """z = the angle of the point (x = other, y = input), in (-pi, pi]."""

    name = "atan2"
    autocast = ("", "widest")
    aliases = ("arctan2",)
    ufunc = "arctan2"
    floats = True
    domain = ({"low": 0.2, "high": 2.0}, {"low": 0.2, "high": 2.0})

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        y, x = self.both(ctx)
        a, b = ctx.shapes
        scaled = g / (y * y + x * x)
        return summed(scaled * x, a) if ctx.edges[0] else None, summed(scaled * -y, b) if ctx.edges[1] else None

    def reference(self, y: Any, x: Any) -> Any:
        return np.arctan2(y, x)

    def cases(self) -> Iterable[Case]:
        yield from binary_shapes(*self.domain)
        yield Case(T(9), T(9))
        yield Case(T(values=[0.0, 1.0, -0.0, np.inf, np.nan], grad=False), T(values=[-1.0, 0.0, -1.0, np.inf, 1.0], grad=False))
