"""nextafter: the neighbour of a number."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..pointwise import Binary, summed
from ..tensor import Tensor


class Nextafter(Binary):
    """z = the number of input's dtype that follows it on the way to `other`. The gradient goes to input."""

    name = "nextafter"
    ufunc = "nextafter"
    torch_number_first = False
    half = False  # the neighbour in float32 rounds back to the number itself
    numpy_types = "float32 float64"

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        return tuple([None if s is None else summed(g, s) if i == 0 else g.new_zeros(s) for i, s in enumerate(ctx.shapes)])

    def reference(self, x: Any, y: Any) -> Any:
        return np.nextafter(x, y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(5, low=3, high=4)), Case(T(values=[0.0, 1.0, -1.0], grad=False), T(3, grad=False)))
