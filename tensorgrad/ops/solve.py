"""solve, solve_triangular: linear systems."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..tensor import Tensor
from .shared.matrices import Matrices, eye_like, matrices, regular


class Solve(Matrices):
    """X with A X = B (X A = B for `left=False`). B is of matrices, or of vectors where its shape is that of A without the last size."""

    name = "linalg_solve"
    regular = True
    places = ("linalg.solve",)
    function = method = False
    composite = True

    def forward(self, A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
        matrices("solve", A, square=True)
        if not isinstance(B, Tensor) or B.dtype is not A.dtype:
            raise RuntimeError("solve: A and B must be tensors of one dtype")
        if not left:
            return fn.linalg_solve(A.mT, B.mT).mT
        vectors = B.ndim == 1 or (B.ndim == A.ndim - 1 and tuple(B.shape) == tuple(A.shape)[:-1])
        b = B.unsqueeze(-1) if vectors else B
        if b.shape[-2] != A.shape[-1]:
            raise RuntimeError(f"solve: A has shape {tuple(A.shape)} but B {tuple(B.shape)}: {A.shape[-1]} unknowns against "
                               f"{b.shape[-2]} rows")
        batch = np.broadcast_shapes(A.array.shape[:-2], b.array.shape[:-2])
        x = fn.solve_batches(A.expand((*batch, *A.shape[-2:])), b.expand((*batch, *b.shape[-2:])))
        return x.squeeze(-1) if vectors else x

    def reference(self, a: Any, b: Any, left: bool = True) -> Any:
        if not left:
            return np.swapaxes(np.linalg.solve(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)
        return np.linalg.solve(a, b[..., None])[..., 0] if b.ndim == 1 else np.linalg.solve(a, b)

    def cases(self) -> Iterable[Case]:
        yield from (Case(regular(3), T(3, 2)), Case(regular(3), T(3)), Case(regular(2, (2, 3)), T(2, 5)))
        yield Case(regular(3), T(2, 3), left=False)
        yield Case(regular(3), T(4, 2), error=(RuntimeError, "solve: A has shape (3, 3) but B (4, 2): 3 unknowns against 4 rows"))


class SolveBatches(Matrices):
    """`linalg.solve` for as many matrices B as A."""

    name = "solve_batches"
    regular = True
    function = method = False

    def forward(self, ctx: Node, A: Tensor, B: Tensor) -> Tensor:
        x: Tensor = self.factor("solve", A, B)
        ctx.save(A, x)
        return x

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        a, x = ctx.saved
        gb = fn.solve_batches(a.mT, g)
        return -(gb @ x.mT) if ctx.edges[0] else None, gb if ctx.edges[1] else None

    def reference(self, a: Any, b: Any) -> Any:
        return np.linalg.solve(a, b)

    def cases(self) -> Iterable[Case]:
        yield from (Case(regular(3), T(3, 2)), Case(regular(2, (2,)), T(2, 2, 1)))


class SolveTriangular(Matrices):
    """X with A X = B (X A = B for `left=False`) for triangular A.

    The other half of A is not looked at; with `unitriangular` nor is its diagonal, which counts as ones."""

    name = "solve_triangular"
    places = ("linalg.solve_triangular",)
    function = method = False
    composite = True

    def forward(self, input: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
        matrices("solve_triangular", input, square=True)
        a = fn.triu(input, 1 if unitriangular else 0) if upper else fn.tril(input, -1 if unitriangular else 0)
        if unitriangular:
            a = a + eye_like(a, a.shape[-1])
        if B.ndim < 2:
            raise RuntimeError(f"solve_triangular: B must be of matrices, it has shape {tuple(B.shape)}")
        if not left:
            return fn.linalg_solve(a.mT, B.mT).mT
        batch = np.broadcast_shapes(a.array.shape[:-2], B.array.shape[:-2])
        return fn.linalg_solve(a.expand((*batch, *a.shape[-2:])), B.expand((*batch, *B.shape[-2:])))

    def reference(self, a: Any, b: Any, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
        t = np.triu(a) if upper else np.tril(a)
        if unitriangular:
            t = t - t * np.eye(t.shape[-1]) + np.eye(t.shape[-1])
        return np.linalg.solve(t, b) if left else np.linalg.solve(t.T, b.T).T

    def cases(self) -> Iterable[Case]:
        yield from (Case(regular(3), T(3, 2), upper=True), Case(regular(3), T(3, 2), upper=False, unitriangular=True))
        yield Case(regular(3), T(2, 3), upper=False, left=False)
