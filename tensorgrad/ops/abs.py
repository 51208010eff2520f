"""abs: y = |x|."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Abs(Unary):
    """y = |x|; the gradient at zero is 0."""

    name = "abs"
    aliases = ("absolute",)
    operators = ("__abs__",)
    ufunc = "absolute"
    float_only = False
    domain = {"distinct": True, "high": 2.3}

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * x.sign()

    def reference(self, x: Any) -> Any:
        return np.where(x < 0, -x, x + 0.0 * (x == 0)) if x.dtype.kind == "f" else np.abs(x)

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(4, dtype="int64", low=-5, high=5))
