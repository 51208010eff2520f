"""signbit: whether a number has a minus sign."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..pointwise import Unary


class Signbit(Unary):
    """y = whether x has its sign bit set, -0.0 included."""

    name = "signbit"
    float_only = inplace = differentiable = False
    saves = ""
    result = np.dtype(np.bool_)

    def compute(self, xp: Any, x: Any) -> Any:
        return xp.signbit(x) if x.dtype.kind == "f" else x < 0

    def reference(self, x: Any) -> Any:
        return np.signbit(x) if x.dtype.kind == "f" else x < 0

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(4, dtype="int64", low=-5, high=5))
