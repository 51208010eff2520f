"""positive: +x."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor


class Positive(Op):
    """The tensor itself; RuntimeError for bools."""

    name = "positive"
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        if input.dtype.name == "bool":
            raise RuntimeError("positive: a bool has no sign")
        return input

    def reference(self, x: Any) -> Any:
        return x

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3)), Case(T(2, dtype="int64")))
        yield Case(T(3, dtype="bool"), error=(RuntimeError, "positive: a bool has no sign"))
