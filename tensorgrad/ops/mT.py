"""mT: the last two dimensions swapped."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class MatrixTranspose(Op):
    """`x.mT`, a view with the last two dimensions swapped: each matrix of a batch transposed."""

    name = "mT"
    aliases = ("mH",)
    function = False
    attribute = True
    composite = True
    torch_name = ""

    def forward(self, input: Tensor) -> Tensor:
        if input.array.ndim < 2:
            raise RuntimeError(f"mT: expected at least 2 dimensions, got the shape {tuple(input.shape)}")
        return fn.transpose(input, -2, -1)

    def reference(self, x: Any) -> Any:
        return np.swapaxes(x, -2, -1)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3)), Case(T(4, 2, 3)), Case(T(0, 2)))
        yield Case(T(2), error=(RuntimeError, "mT: expected at least 2 dimensions, got the shape (2,)"))


class AllTransposed(Op):
    """`x.T`, a view with the order of all dimensions reversed."""

    name = "T"
    function = False
    attribute = True
    composite = True
    torch_name = ""

    def forward(self, input: Tensor) -> Tensor:
        n = input.array.ndim
        return fn.transpose(input, 0, 1) if n == 2 else fn.permute(input, tuple(range(n - 1, -1, -1)))

    def reference(self, x: Any) -> Any:
        return x.T

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3)), Case(T(4, 2, 3)), Case(T(2)), Case(T()))
