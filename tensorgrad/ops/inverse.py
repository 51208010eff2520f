"""inverse: of square matrices."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..tensor import Tensor
from .shared.matrices import Matrices, matrices, regular


class Inverse(Matrices):
    """A^-1 of square matrices; LinAlgError for singular ones."""

    name = "inverse"
    autocast = ("float32", "")
    regular = True
    places = ("linalg.inv",)

    def forward(self, ctx: Node, A: Tensor) -> Tensor:
        matrices("inverse", A, square=True)
        out: Tensor = self.factor("inv", A)
        ctx.save(out)
        return out

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (y,) = ctx.saved
        return -(y.mT @ g @ y.mT)

    def reference(self, a: Any) -> Any:
        return np.linalg.inv(a)

    def cases(self) -> Iterable[Case]:
        yield from (Case(regular(3)), Case(regular(2, (2, 3))), Case(T(0, 0)), Case(regular(1)))
        yield Case(T(2, 3), error=(RuntimeError, "inverse: the matrices must be square, got 2 x 3"))
        yield Case(T(values=np.zeros((2, 2))), error=(RuntimeError, "inverse: Singular matrix"))
