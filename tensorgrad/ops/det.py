"""det: determinants."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..tensor import Tensor
from .shared.matrices import Matrices, matrices, regular


class Det(Matrices):
    """The determinant of square matrices. The gradient, det(A) A^-T, needs regular ones."""

    name = "det"
    places = ("linalg.det",)

    def forward(self, ctx: Node, A: Tensor) -> Tensor:
        matrices("det", A, square=True)
        out: Tensor = self.factor("det", A)
        ctx.save(A, out)
        return out

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        a, y = ctx.saved
        return (g * y).unsqueeze(-1).unsqueeze(-1) * fn.inverse(a).mT

    def reference(self, a: Any) -> Any:
        return np.linalg.det(a)

    def cases(self) -> Iterable[Case]:
        yield from (Case(regular(3)), Case(regular(2, (2, 3))), Case(T(0, 0)), Case(regular(1)))
        yield Case(T(2, 3), error=(RuntimeError, "det: the matrices must be square, got 2 x 3"))
