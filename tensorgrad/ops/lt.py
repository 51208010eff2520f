"""lt: z = (x < y)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..pointwise import Comparison


class Lt(Comparison):
    """z = (input < other) as bools, with broadcasting and promotion; false where either is NaN."""

    name = "lt"
    ufunc = "less"
    aliases = ("less",)
    operators = ("__lt__",)

    def reference(self, x: Any, y: Any) -> Any:
        return x < y

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(9, dtype="int64", low=-2, high=2), T(9, dtype="int64", low=-2, high=2))
        yield Case(T(values=[1.0, np.nan, np.nan, np.inf]), T(values=[1.0, np.nan, 0.0, np.inf]))
