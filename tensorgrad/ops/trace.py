"""trace: the sum of a matrix's diagonal."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor


class Trace(Op):
    """y = sum_i input[i, i] of a matrix, square or not."""

    name = "trace"
    autocast = ("float32", "widest")
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        if input.array.ndim != 2:
            raise RuntimeError(f"trace: expected a matrix, got the shape {tuple(input.shape)}; diagonal(dim1=, dim2=).sum(-1) takes any")
        return input.diagonal().sum()

    def reference(self, x: Any) -> Any:
        return np.trace(x)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 3)), Case(T(2, 5)), Case(T(7, 1)), Case(T(0, 3)), Case(T(3, 3, dtype="int64", low=-5, high=5)))
        yield Case(T(3), error=(RuntimeError, "trace: expected a matrix, got the shape (3,)"))
