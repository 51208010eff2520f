"""selu: scaled exponential linear unit."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, unary_shapes
from ..op import Op, fn
from ..tensor import Tensor


class Selu(Op):
    """y = scale x above zero, else scale alpha (e^x - 1), with the constants that keep mean 0 and variance 1 (Klambauer et al., 2017)."""

    name = "selu"
    method = False
    functional = inplace = composite = True

    def forward(self, input: Tensor) -> Tensor:
        return fn.scaled_elu(input, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)

    def reference(self, x: Any) -> Any:
        return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))

    def cases(self) -> Iterable[Case]:
        return unary_shapes(distinct=True, high=2.3)
