"""elu: exponential linear unit."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T, unary_shapes
from ..op import Op, fn
from ..tensor import Tensor


class Elu(Op):
    """y = x above zero, else alpha (e^x - 1) (Clevert et al., 2015)."""

    name = "elu"
    function = method = False
    functional = inplace = composite = True

    def forward(self, input: Tensor, alpha: float = 1.0) -> Tensor:
        return fn.scaled_elu(input, alpha)

    def reference(self, x: Any, alpha: float = 1.0) -> Any:
        return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))

    def cases(self) -> Iterable[Case]:
        return [*unary_shapes(distinct=True, high=2.3), Case(T(7), 0.5)]
