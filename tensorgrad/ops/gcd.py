"""gcd: the greatest common divisor."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T, binary_shapes
from ..pointwise import Integers


class Gcd(Integers):
    """z = the greatest common divisor of two integers, never negative."""

    name = "gcd"
    ufunc = "gcd"
    bools = False

    def reference(self, x: Any, y: Any) -> Any:
        return np.gcd(x, y)

    def cases(self) -> Iterable[Case]:
        wide: dict[str, Any] = {"dtype": "int64", "low": -30, "high": 30}
        yield from binary_shapes(wide, wide)
        yield from (Case(T(4, **wide), 6, torch=False), Case(T(values=[0, 0, 5], dtype="int64"), T(values=[0, 3, 0], dtype="int64")))
        yield Case(T(3), T(3), error=(RuntimeError, "gcd: expected integers"))
