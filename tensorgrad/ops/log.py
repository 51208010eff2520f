"""log: y = natural logarithm of x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Log(Unary):
    """y = ln(x); -inf at zero, NaN below."""

    name = "log"
    autocast = ("", "float32")
    ufunc = "log"
    domain = {"low": 0.1, "high": 3.0}

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g / x

    def reference(self, x: Any) -> Any:
        return np.log(x)
