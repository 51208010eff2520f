"""softplus: y = ln(1 + e^x)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import Activation, ActivationBackward
from ..tensor import Tensor


class Softplus(Activation):
    """y = ln(1 + e^(beta x)) / beta; where beta x is above `threshold`, x itself."""

    name = "softplus"
    autocast = ("", "float32")
    inplace = False

    def forward(self, ctx: Node, input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
        return self.apply(ctx, input, float(beta), float(threshold))

    def compute(self, xp: Any, x: Any, beta: float, threshold: float) -> Any:
        z = x * x.dtype.type(beta)
        return xp.where(z > threshold, x, xp.logaddexp(z, x.dtype.type(0)) / x.dtype.type(beta))

    def reference(self, x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
        return np.where(x * beta > threshold, x, np.logaddexp(x * beta, 0) / beta)

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield from (Case(T(3, 5), 2.0), Case(T(40, low=-50, high=50)), Case(T(7), beta=0.5, threshold=0.3))


class SoftplusBackward(ActivationBackward):
    """gx = g sigmoid(beta x), or g above the threshold."""

    name = "softplus_backward"
    group = "softplus"
    sample = (1.0, 20.0)

    def slope(self, x: Tensor, beta: float, threshold: float) -> Tensor:
        return fn.where(x * beta > threshold, 1.0, (x * beta).sigmoid())
