"""bitwise_and: z = x & y."""
from __future__ import annotations

from typing import Any

from ..pointwise import Integers


class BitwiseAnd(Integers):
    """z = input & other, bit by bit, for integers and bools."""

    name = "bitwise_and"
    ufunc = "bitwise_and"
    operators = ("__and__", "__rand__", "__iand__")

    def reference(self, x: Any, y: Any) -> Any:
        return x & y
