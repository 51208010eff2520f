"""relu6: y = x within 0 and 6."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, unary_shapes
from ..op import Op, fn
from ..tensor import Tensor


class Relu6(Op):
    """y = min(max(x, 0), 6)."""

    name = "relu6"
    function = method = False
    functional = inplace = composite = True

    def forward(self, input: Tensor) -> Tensor:
        return fn.hardtanh(input, 0.0, 6.0)

    def reference(self, x: Any) -> Any:
        return np.clip(x, 0, 6)

    def cases(self) -> Iterable[Case]:
        return unary_shapes(distinct=True, low=-9, high=9.3)
