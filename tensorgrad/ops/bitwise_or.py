"""bitwise_or: z = x | y."""
from __future__ import annotations

from typing import Any

from ..pointwise import Integers


class BitwiseOr(Integers):
    """z = input | other, bit by bit, for integers and bools."""

    name = "bitwise_or"
    ufunc = "bitwise_or"
    operators = ("__or__", "__ror__", "__ior__")

    def reference(self, x: Any, y: Any) -> Any:
        return x | y
