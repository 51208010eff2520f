"""softmin: softmax of the negated values."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dtypes import dtype as DType
from ..op import Op, fn
from ..tensor import Tensor


class Softmin(Op):
    """y_i = exp(-x_i) / sum_j exp(-x_j) along `dim`; see softmax."""

    name = "softmin"
    autocast = ("", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
        return fn.softmax(-input, dim, dtype=dtype)

    def reference(self, x: Any, dim: int) -> Any:
        e = np.exp(x.min(axis=dim, keepdims=True) - x)
        return e / e.sum(axis=dim, keepdims=True)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), 1), Case(T(2, 3, 5), 1), Case(T(7), -1))
        yield Case(T(3), 1, error=(IndexError, "softmax: dim 1 is out of range"))
