"""clamp_min: y = max(x, min)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, Operand, fn
from ..tensor import Tensor


class ClampMin(Op):
    """y = max(input, min): `clamp` with a lower bound alone."""

    name = "clamp_min"
    composite = True
    inplace = True

    def forward(self, input: Tensor, min: Operand) -> Tensor:
        return fn.clamp(input, min, None)

    def reference(self, x: Any, min: Any) -> Any:
        return np.maximum(x, min)

    def cases(self) -> Iterable[Case]:
        yield Case(T(3, 5, distinct=True), 0.3)
