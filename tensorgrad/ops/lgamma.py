"""lgamma: the logarithm of the gamma function."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import Node
from ..op import fn
from ..pointwise import Unary
from ..tensor import Tensor
from .shared.gamma import lgamma


class Lgamma(Unary):
    """y = ln |Gamma(x)|; infinite at 0, -1, -2, ... Its derivative is `digamma`."""

    name = "lgamma"
    places = ("special.gammaln",)
    domain = {"low": 0.3, "high": 6.0}

    def compute(self, xp: Any, x: Any) -> Any:
        return lgamma(xp, x)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * fn.digamma(x)

    def reference(self, x: Any) -> Any:
        def one(v: float) -> float:
            return v if math.isnan(v) else math.inf if math.isinf(v) or (v <= 0 and v == int(v)) else math.lgamma(v)

        return np.vectorize(one, otypes=[np.float64])(x)
