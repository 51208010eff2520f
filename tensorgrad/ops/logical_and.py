"""logical_and: z = x and y."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T, binary_shapes
from ..pointwise import Comparison


class LogicalAnd(Comparison):
    """z = (input != 0) and (other != 0) as bools, with broadcasting."""

    name = "logical_and"
    ufunc = "logical_and"

    def reference(self, x: Any, y: Any) -> Any:
        return np.logical_and(x, y)

    def cases(self) -> Iterable[Case]:
        yield from binary_shapes({"dtype": "bool"}, {"dtype": "bool"})
        yield Case(T(9, dtype="int64", low=-1, high=2), T(9, dtype="int64", low=-1, high=2))
        yield Case(T(values=[0.0, 1.0, np.nan]), T(values=[1.0, 0.0, 0.0]))
