"""logical_not: y = not x."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..pointwise import Unary


class LogicalNot(Unary):
    """y = (input == 0) as bools."""

    name = "logical_not"
    ufunc = "logical_not"
    float_only = differentiable = False
    saves = ""

    def reference(self, x: Any) -> Any:
        return x == 0

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, dtype="bool")), Case(T(0, dtype="bool")), Case(T(2, 3, dtype="int64", low=-1, high=2)), Case(T(3)))
