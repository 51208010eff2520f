"""ldexp: z = x 2^y."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Ldexp(Op):
    """z = input * 2^other."""

    name = "ldexp"
    autocast = ("widest", "widest")
    composite = True
    inplace = True

    def forward(self, input: Tensor, other: Tensor) -> Tensor:
        return input * fn.pow(2.0, other)

    def reference(self, x: Any, y: Any) -> Any:
        return x * 2.0**y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(5, dtype="int64", low=-4, high=5)), Case(T(4), T(4)), Case(T(0), T(0)))
