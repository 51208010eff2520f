"""logsigmoid: y = ln sigmoid(x)."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T, unary_shapes
from ..op import Op, fn
from ..tensor import Tensor


class Logsigmoid(Op):
    """y = ln(1 / (1 + e^-x)) = -softplus(-x), exact at both ends."""

    name = "logsigmoid"
    autocast = ("", "widest")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        return -fn.softplus(-input, 1.0, math.inf)

    def reference(self, x: Any) -> Any:
        return -np.logaddexp(0, -x)

    def cases(self) -> Iterable[Case]:
        return [*unary_shapes(), Case(T(40, low=-60, high=60))]
