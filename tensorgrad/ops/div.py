"""div: z = x / y, rounded or not."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, Operand, fn
from ..tensor import Tensor


class Div(Op):
    """z = input / other: the quotient, or with `rounding_mode` "floor" (towards -inf) or "trunc" (towards 0) a rounded one.

    A quotient of integers is floating; a rounded one stays integer, and then a zero divisor is a RuntimeError.
    """

    name = "div"
    aliases = ("divide",)
    composite = True
    inplace = True

    def forward(self, input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
        if rounding_mode is None:
            return fn.true_divide(input, other)
        if rounding_mode == "floor":
            return fn.floor_divide(input, other)
        if rounding_mode == "trunc":
            return fn.trunc_divide(input, other)
        raise RuntimeError(f"div: rounding_mode must be None, 'floor' or 'trunc', not {rounding_mode!r}")

    def reference(self, x: Any, y: Any, rounding_mode: str | None = None) -> Any:
        z = np.true_divide(x, y)
        return z if rounding_mode is None else np.floor(z) if rounding_mode == "floor" else np.trunc(z)

    def cases(self) -> Iterable[Case]:
        for mode in (None, "floor", "trunc"):
            yield Case(T(3, 5, grad=mode is None), T(5, low=0.5, high=2.0, grad=mode is None), rounding_mode=mode)
        yield Case(T(7, dtype="int64", low=-9, high=9), T(7, dtype="int64", low=1, high=4), rounding_mode="floor")
        yield Case(T(7, dtype="int64", low=-9, high=9), T(7, dtype="int64", low=1, high=4), rounding_mode="trunc")
        yield Case(T(2), T(2), rounding_mode="up", error=(RuntimeError, "div: rounding_mode must be None, 'floor' or 'trunc', not 'up'"))
