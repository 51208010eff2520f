"""isposinf: where x is +infinity."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, unary_shapes
from ..pointwise import Unary, special_cases


class Isposinf(Unary):
    """True where input is +infinity."""

    name = "isposinf"
    ufunc = "isposinf"
    float_only = differentiable = False
    inplace = False

    def reference(self, x: Any) -> Any:
        return x == np.inf

    def cases(self) -> Iterable[Case]:
        yield from (*unary_shapes(), *special_cases())
