"""isinf: where x is infinite."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T, unary_shapes
from ..pointwise import Unary, special_cases


class Isinf(Unary):
    """True where input is infinite, of either sign."""

    name = "isinf"
    ufunc = "isinf"
    float_only = differentiable = False
    inplace = False

    def reference(self, x: Any) -> Any:
        return np.abs(x) == np.inf

    def cases(self) -> Iterable[Case]:
        yield from (*unary_shapes(), *special_cases(), Case(T(3, dtype="int64")))
