"""bitwise_xor: z = x ^ y."""
from __future__ import annotations

from typing import Any

from ..pointwise import Integers


class BitwiseXor(Integers):
    """z = input ^ other, bit by bit, for integers and bools."""

    name = "bitwise_xor"
    ufunc = "bitwise_xor"
    operators = ("__xor__", "__rxor__", "__ixor__")

    def reference(self, x: Any, y: Any) -> Any:
        return x ^ y
