"""bitwise_left_shift: z = x << y."""
from __future__ import annotations

from typing import Any

from ..pointwise import Integers


class BitwiseLeftShift(Integers):
    """z = input << other for integers; bits that leave at the top are lost."""

    name = "bitwise_left_shift"
    ufunc = "left_shift"
    operators = ("__lshift__", "__rlshift__", "__ilshift__")
    bools = False

    def reference(self, x: Any, y: Any) -> Any:
        return x << y
