"""log2: y = binary logarithm of x."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Log2(Unary):
    """y = log2(x); -inf at zero, NaN below."""

    name = "log2"
    autocast = ("", "float32")
    ufunc = "log2"
    domain = {"low": 0.1, "high": 3.0}

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g / (x * math.log(2))

    def reference(self, x: Any) -> Any:
        return np.log(x) / np.log(2)
