"""mm, bmm, mv, dot: matmul for one number of dimensions each."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


def expect_dims(op: str, **wanted: tuple[Tensor, int]) -> None:
    """RuntimeError unless each tensor has the number of dimensions given with it."""
    for name, (t, ndim) in wanted.items():
        if t.array.ndim != ndim:
            raise RuntimeError(f"{op}: {name} must have {ndim} dimensions, but its shape is {tuple(t.array.shape)}; "
                               "matmul takes any number")


def expect_one_batch(op: str, input: Tensor, other: Tensor) -> None:
    """RuntimeError unless two batches are of one size."""
    x, y = input.array.shape, other.array.shape
    if x[0] != y[0]:
        raise RuntimeError(f"{op}: dim 0 of {tuple(x)} and of {tuple(y)} differ; matmul broadcasts batches")


class Mm(Op):
    """z = input @ mat2 of two matrices (n, m) and (m, p)."""

    name = "mm"
    autocast = ("lower", "lower")
    composite = True

    def forward(self, input: Tensor, mat2: Tensor) -> Tensor:
        expect_dims("mm", input=(input, 2), mat2=(mat2, 2))
        return fn.matmul(input, mat2)

    def reference(self, x: Any, y: Any) -> Any:
        return np.einsum("nm,mp->np", x, y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(5, 2)), Case(T(0, 5), T(5, 2)), Case(T(2, 0), T(0, 3)), Case(T(17, 19), T(19, 23)))
        yield Case(T(2, 3, 4), T(4, 2), error=(RuntimeError, "mm: input must have 2 dimensions, but its shape is (2, 3, 4)"))
        yield Case(T(3, 4), T(3, 4), error=(RuntimeError, "dim 1 of (3, 4) is 4 but dim 0 of (3, 4) is 3"))


class Bmm(Op):
    """z[b] = input[b] @ mat2[b] of two batches (b, n, m) and (b, m, p)."""

    name = "bmm"
    autocast = ("lower", "lower")
    composite = True

    def forward(self, input: Tensor, mat2: Tensor) -> Tensor:
        expect_dims("bmm", input=(input, 3), mat2=(mat2, 3))
        expect_one_batch("bmm", input, mat2)
        return fn.matmul(input, mat2)

    def reference(self, x: Any, y: Any) -> Any:
        return np.einsum("bnm,bmp->bnp", x, y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 5), T(2, 5, 4)), Case(T(0, 3, 5), T(0, 5, 2)), Case(T(1, 2, 0), T(1, 0, 3)), Case(T(7, 1, 3), T(7, 3, 1)))
        yield Case(T(3, 4), T(4, 2), error=(RuntimeError, "bmm: input must have 3 dimensions, but its shape is (3, 4)"))
        yield Case(T(2, 3, 4), T(1, 4, 2), error=(RuntimeError, "bmm: dim 0 of (2, 3, 4) and of (1, 4, 2) differ"))


class Mv(Op):
    """z = input @ vec of a matrix (n, m) and a vector (m,)."""

    name = "mv"
    autocast = ("widest", "lower")
    composite = True

    def forward(self, input: Tensor, vec: Tensor) -> Tensor:
        expect_dims("mv", input=(input, 2), vec=(vec, 1))
        return fn.matmul(input, vec)

    def reference(self, x: Any, y: Any) -> Any:
        return np.einsum("nm,m->n", x, y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(5)), Case(T(0, 5), T(5)), Case(T(3, 0), T(0)))
        yield Case(T(3, 5), T(5, 1), error=(RuntimeError, "mv: vec must have 1 dimensions, but its shape is (5, 1)"))


class Dot(Op):
    """The sum over i of input[i] tensor[i], for two vectors of one length."""

    name = "dot"
    autocast = ("widest", "widest")
    aliases = ("vdot",)
    composite = True

    def forward(self, input: Tensor, tensor: Tensor) -> Tensor:
        expect_dims("dot", input=(input, 1), tensor=(tensor, 1))
        return fn.matmul(input, tensor)

    def reference(self, x: Any, y: Any) -> Any:
        return (x * y).sum()

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5), T(5)), Case(T(0), T(0)), Case(T(1), T(1)), Case(T(101), T(101)))
        yield Case(T(5), T(4), error=(RuntimeError, "dim 0 of (5,) is 5 but dim 0 of (4,) is 4"))
        yield Case(T(5, 1), T(5), error=(RuntimeError, "dot: input must have 1 dimensions, but its shape is (5, 1)"))


class Outer(Op):
    """z[i, j] = input[i] vec2[j] of two vectors."""

    name = "outer"
    aliases = ("ger",)
    composite = True

    def forward(self, input: Tensor, vec2: Tensor) -> Tensor:
        expect_dims("outer", input=(input, 1), vec2=(vec2, 1))
        return input.unsqueeze(1) * vec2

    def reference(self, x: Any, y: Any) -> Any:
        return np.outer(x, y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5), T(3)), Case(T(0), T(3)), Case(T(1), T(1)))
        yield Case(T(5, 1), T(3), error=(RuntimeError, "outer: input must have 1 dimensions, but its shape is (5, 1)"))
