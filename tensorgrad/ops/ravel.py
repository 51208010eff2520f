"""ravel: all elements in one dimension."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Ravel(Op):
    """`input.reshape(-1)`: a view where strides allow it, else a copy."""

    name = "ravel"
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        return fn.reshape(input, (-1,))

    def reference(self, x: Any) -> Any:
        return x.reshape(-1)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3)), Case(T()), Case(T(0, 3)))
