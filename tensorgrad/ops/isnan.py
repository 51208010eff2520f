"""isnan: where x is not a number."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T, unary_shapes
from ..pointwise import Unary, special_cases


class Isnan(Unary):
    """True where input is NaN."""

    name = "isnan"
    ufunc = "isnan"
    float_only = differentiable = False
    inplace = False

    def reference(self, x: Any) -> Any:
        return x != x

    def cases(self) -> Iterable[Case]:
        yield from (*unary_shapes(), *special_cases(), Case(T(3, dtype="int64")))
