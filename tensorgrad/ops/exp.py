"""exp: y = e^x."""
from __future__ import annotations

from typing import Any

from ..graph import Node
from ..pointwise import Unary
from ..tensor import Tensor


class Exp(Unary):
    """y = e^x."""

    name = "exp"
    autocast = ("", "float32")
    ufunc = "exp"
    saves = "output"

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (y,) = ctx.saved
        return g * y

    def reference(self, x: Any) -> Any:
        import numpy as np

        return np.exp(x)
