"""rsub: subtraction the other way round."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, Operand, fn
from ..tensor import Tensor


class Rsub(Op):
    """z = other - alpha * input."""

    name = "rsub"
    method = False
    composite = True

    def forward(self, input: Tensor, other: Operand, *, alpha: float = 1) -> Tensor:
        return fn.sub(other, input if alpha == 1 else input * alpha)

    def reference(self, x: Any, y: Any, alpha: float = 1) -> Any:
        return y - alpha * x

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(5)), Case(T(3), 2.0), Case(T(3), T(3), alpha=2))
