"""sign: y = -1, 0 or 1."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Sign(Unary):
    """y = the sign of x: -1, 0 or 1; of NaN it is 0, as in PyTorch. The gradient is zero."""

    name = "sign"
    aliases = ("sgn",)
    float_only = False
    saves = ""
    domain = {"distinct": True, "high": 2.3}

    def compute(self, xp: Any, x: Any) -> Any:
        return x.copy() if x.dtype.kind == "b" else ((x > 0).astype(np.int8) - (x < 0)).astype(x.dtype)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return g.new_zeros(g.shape)

    def reference(self, x: Any) -> Any:
        return 1.0 * (x > 0) - 1.0 * (x < 0)

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(4, dtype="int64", low=-5, high=5))
