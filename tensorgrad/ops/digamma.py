"""digamma: the derivative of lgamma."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T, unary_shapes
from ..graph import Node
from ..op import fn
from ..pointwise import Unary
from ..tensor import Tensor
from .shared.gamma import digamma


class Digamma(Unary):
    """y = psi(x), the derivative of ln Gamma(x); NaN at -1, -2, ..., infinite at 0."""

    name = "digamma"
    places = ("special.digamma", "special.psi")
    domain = {"low": 0.3, "high": 6.0}

    def compute(self, xp: Any, x: Any) -> Any:
        return digamma(xp, x)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * fn.polygamma(1, x)

    def reference(self, x: Any) -> Any:  # the difference of two partial sums that converges like 1/n^2 is too slow: shift far up
        shifted, total = x + 200.0, np.zeros_like(x)
        for k in range(200):
            total = total - 1 / (x + k)
        inverse = 1 / shifted**2
        return total + np.log(shifted) - 0.5 / shifted - inverse / 12 * (1 - inverse / 10 * (1 - inverse * 10 / 21))

    def cases(self) -> Iterable[Case]:
        yield from unary_shapes(**self.domain)
        yield Case(T(values=[-0.5, -1.5, -2.25, 20.0, 1e-3], grad=False))
