"""cholesky: the triangular square root of positive definite matrices."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..tensor import Tensor
from .shared.matrices import Matrices, eye_like, matrices, positive_definite


class Cholesky(Matrices):
    """L, lower triangular, with L L^T = A for symmetric positive definite A (its upper triangle is not looked at); `upper` gives L^T.

    LinAlgError where A is not positive definite. The gradient is symmetric: Murray, "Differentiation of the Cholesky decomposition", 2016.
    """

    name = "cholesky"
    autocast = ("float32", "")
    regular = True
    places = ("linalg.cholesky",)
    composite = True

    def forward(self, input: Tensor, *, upper: bool = False) -> Tensor:
        lower = fn.cholesky_lower(input)
        return lower.mT if upper else lower

    def reference(self, a: Any, upper: bool = False) -> Any:
        lower = np.linalg.cholesky(a)
        return np.swapaxes(lower, -1, -2) if upper else lower

    def cases(self) -> Iterable[Case]:
        yield Case(T(values=positive_definite(3).values, grad=False))
        yield Case(T(values=positive_definite(2, (3,)).values, grad=False), upper=True)
        yield Case(T(2, 3), error=(RuntimeError, "cholesky: the matrices must be square, got 2 x 3"))
        yield Case(T(values=-np.eye(2)), error=(RuntimeError, "cholesky: "))


class CholeskyLower(Matrices):
    """The lower factor."""

    name = "cholesky_lower"
    function = method = False
    tested_in = "tests/test_linalg.py"

    def forward(self, ctx: Node, input: Tensor) -> Tensor:
        matrices("cholesky", input, square=True)
        out: Tensor = self.factor("cholesky", input)
        ctx.save(out)
        return out

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (factor,) = ctx.saved
        half = fn.tril(factor.mT @ g)
        half = half - half * eye_like(factor, factor.shape[-1]) / 2
        inner = fn.linalg_solve(factor.mT, fn.linalg_solve(factor.mT, half.mT).mT)  # L^-T half L^-1
        return (inner + inner.mT) / 2
