"""leaky_relu: y = x or slope x."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import Activation, ActivationBackward
from ..tensor import Tensor


class LeakyRelu(Activation):
    """y = x above zero, else negative_slope x."""

    name = "leaky_relu"
    domain = {"distinct": True, "high": 2.3}

    def forward(self, ctx: Node, input: Tensor, negative_slope: float = 0.01) -> Tensor:
        return self.apply(ctx, input, float(negative_slope))

    def compute(self, xp: Any, x: Any, negative_slope: float) -> Any:
        return xp.where(x > 0, x, x * x.dtype.type(negative_slope))

    def reference(self, x: Any, negative_slope: float = 0.01) -> Any:
        return np.where(x > 0, x, negative_slope * x)

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(3, 5, distinct=True, high=2.3), 0.2)


class LeakyReluBackward(ActivationBackward):
    """gx = g above zero, else negative_slope g."""

    name = "leaky_relu_backward"
    group = "leaky_relu"
    sample = (0.2,)

    def slope(self, x: Tensor, negative_slope: float) -> Tensor:
        return fn.where(x > 0, x.new_ones(()), negative_slope)
