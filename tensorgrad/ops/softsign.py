"""softsign: y = x / (1 + |x|)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, unary_shapes
from ..op import Op
from ..tensor import Tensor


class Softsign(Op):
    """y = x / (1 + |x|)."""

    name = "softsign"
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        return input / (input.abs() + 1.0)

    def reference(self, x: Any) -> Any:
        return x / (1 + np.abs(x))

    def cases(self) -> Iterable[Case]:
        return unary_shapes(distinct=True, high=2.3)
