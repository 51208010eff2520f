"""cross: products of vectors."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..pointwise import check_broadcast
from ..tensor import Tensor, check_dim


class LinalgCross(Op):
    """The cross product along `dim`, of size 3; the other dims broadcast."""

    name = "linalg_cross"
    places = ("linalg.cross",)
    function = method = False
    composite = True

    def forward(self, input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
        check_broadcast("cross", input.array.shape, other.array.shape)
        a, b = fn.broadcast_tensors(input, other)
        d = check_dim("cross", dim, a.ndim)
        if input.ndim != other.ndim or input.shape[d] != 3 or other.shape[d] != 3:
            raise RuntimeError(f"cross: dim {dim} of {tuple(input.shape)} and {tuple(other.shape)} must have size 3")
        after, before = [a.roll(-1, d), b.roll(-1, d)], [a.roll(1, d), b.roll(1, d)]
        return after[0] * before[1] - before[0] * after[1]

    def reference(self, a: Any, b: Any, dim: int = -1) -> Any:
        return np.cross(a, b, axis=dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3), T(3)), Case(T(2, 3), T(2, 3)), Case(T(3, 4), T(3, 4), dim=0), Case(T(1, 3), T(5, 3)))
        yield Case(T(2, 4), T(2, 4), error=(RuntimeError, "cross: dim -1 of (2, 4) and (2, 4) must have size 3"))


class Cross(Op):
    """The cross product along `dim`, without one along the first dim of size 3."""

    name = "cross"
    composite = True

    def forward(self, input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
        if dim is None:
            dim = next((i for i, n in enumerate(input.array.shape) if n == 3), -1)
        return fn.linalg_cross(input, other, dim=dim)

    def reference(self, a: Any, b: Any, dim: Any = None) -> Any:
        return np.cross(a, b, axis=a.shape.index(3) if dim is None else dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(4, 3), T(4, 3)), Case(T(3, 2), T(3, 2), 0))


class Vecdot(Op):
    """The sum of products along `dim`, the others broadcast."""

    name = "vecdot"
    autocast = ("lower", "lower")
    places = ("linalg.vecdot",)
    function = method = False
    composite = True

    def forward(self, x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
        return (x * y).sum(dim)

    def reference(self, x: Any, y: Any, dim: int = -1) -> Any:
        return (x * y).sum(dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 4), T(3, 4)), Case(T(3, 4), T(1, 4)), Case(T(3, 4), T(3, 4), dim=0))


class LinalgDiagonal(Op):
    """The diagonals of matrices, as a view: `diagonal` with the last two dims."""

    name = "linalg_diagonal"
    places = ("linalg.diagonal",)
    function = method = False
    composite = True

    def forward(self, A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
        return fn.diagonal(A, offset, dim1, dim2)

    def reference(self, a: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
        return np.diagonal(a, offset, dim1, dim2)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 4)), Case(T(2, 3, 3), offset=1), Case(T(2, 3, 4), dim1=0, dim2=1))
