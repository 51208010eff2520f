"""bitwise_right_shift: z = x >> y."""
from __future__ import annotations

from typing import Any

from ..pointwise import Integers


class BitwiseRightShift(Integers):
    """z = input >> other for integers; the sign bit is repeated."""

    name = "bitwise_right_shift"
    ufunc = "right_shift"
    operators = ("__rshift__", "__rrshift__", "__irshift__")
    bools = False

    def reference(self, x: Any, y: Any) -> Any:
        return x >> y
