"""argsort: the indices that sort."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class ArgSort(Op):
    """The indices of `sort` along `dim`, by the sort of the storage's library: NumPy's on cpu and emu, CuPy's on cuda.

    Equal elements keep their order, `stable` or not.
    """

    name = "argsort"
    composite = True
    differentiable = False

    def forward(self, input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
        return fn.sort_pair(input.detach(), dim, descending)[1]

    def reference(self, x: Any, dim: int = -1, descending: bool = False) -> Any:
        return np.argsort(-x if descending else x, dim, kind="stable")

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7, distinct=True)), Case(T(3, 5, distinct=True), 0), Case(T(3, 5, distinct=True), dim=-1, descending=True))


class MSort(Op):
    """The values sorted along the first dim."""

    name = "msort"
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        return fn.sort_pair(input, 0)[0]

    def reference(self, x: Any) -> Any:
        return np.sort(x, 0)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7, distinct=True)), Case(T(3, 5, distinct=True)))
