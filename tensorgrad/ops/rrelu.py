"""rrelu: leaky relu with a random slope."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Rrelu(Op):
    """y = x above zero, else a x: in training `a` is drawn from [lower, upper) for each element, otherwise it is their mean."""

    name = "rrelu"
    method = False
    functional = inplace = composite = True

    def forward(self, input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
        if lower > upper:
            raise RuntimeError(f"rrelu: lower must not be above upper, got {lower} and {upper}")
        if not training:
            return fn.leaky_relu(input, (lower + upper) / 2)
        return fn.where(input > 0, input, input * input.detach().clone().uniform_(lower, upper))

    def reference(self, x: Any, lower: float = 1 / 8, upper: float = 1 / 3) -> Any:
        return np.where(x > 0, x, (lower + upper) / 2 * x)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, distinct=True, high=2.3)), Case(T(0)), Case(T(7, distinct=True, high=2.3), 0.1, 0.5))
