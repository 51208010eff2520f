"""log10: y = decimal logarithm of x."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Log10(Unary):
    """y = log10(x); -inf at zero, NaN below."""

    name = "log10"
    autocast = ("", "float32")
    ufunc = "log10"
    domain = {"low": 0.1, "high": 3.0}

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g / (x * math.log(10))

    def reference(self, x: Any) -> Any:
        return np.log(x) / np.log(10)
