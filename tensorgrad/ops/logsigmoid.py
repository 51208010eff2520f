"""logsigmoid: y = ln(1 / (1 + e^-x))."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Node
from ..op import fn
from ..pointwise import Unary
from ..tensor import Tensor


class LogSigmoid(Unary):
    """y = ln(1 / (1 + e^-x)) = min(x, 0) - ln(1 + e^-|x|), exact for large |x|."""

    name = "logsigmoid"
    functional = True
    function = method = inplace = False

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x)))

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * fn.sigmoid(-x)

    def reference(self, x: Any) -> Any:
        return -np.logaddexp(0, -x)
