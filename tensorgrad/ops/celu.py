"""celu: continuously differentiable exponential linear unit."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T, unary_shapes
from ..op import Op, fn
from ..tensor import Tensor


class Celu(Op):
    """y = x above zero, else alpha (e^(x / alpha) - 1) (Barron, 2017)."""

    name = "celu"
    method = False
    functional = inplace = composite = True

    def forward(self, input: Tensor, alpha: float = 1.0) -> Tensor:
        if alpha == 0:
            raise RuntimeError("celu: alpha must not be zero")
        return fn.scaled_elu(input, alpha, 1.0, 1 / alpha)

    def reference(self, x: Any, alpha: float = 1.0) -> Any:
        return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))

    def cases(self) -> Iterable[Case]:
        return [*unary_shapes(distinct=True, high=2.3), Case(T(7), 0.5), Case(T(7), alpha=0, error=(RuntimeError, "celu: alpha must not"))]
