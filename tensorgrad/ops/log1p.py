"""log1p: y = ln(1 + x)."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Log1p(Unary):
    """y = ln(1 + x), exact near zero; -inf at -1, NaN below."""

    name = "log1p"
    autocast = ("", "float32")
    places = ("special.log1p",)
    ufunc = "log1p"
    domain = {"low": -0.8, "high": 3.0}

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g / (x + 1.0)

    def reference(self, x: Any) -> Any:
        return np.log1p(x)
