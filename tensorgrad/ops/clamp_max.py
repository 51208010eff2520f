"""clamp_max: y = min(x, max)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, Operand, fn
from ..tensor import Tensor


class ClampMax(Op):
    """y = min(input, max): `clamp` with an upper bound alone."""

    name = "clamp_max"
    composite = True
    inplace = True

    def forward(self, input: Tensor, max: Operand) -> Tensor:
        return fn.clamp(input, None, max)

    def reference(self, x: Any, max: Any) -> Any:
        return np.minimum(x, max)

    def cases(self) -> Iterable[Case]:
        yield Case(T(3, 5, distinct=True), 0.3)
