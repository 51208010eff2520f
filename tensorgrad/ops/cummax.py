"""cummax: running maximum."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.reduction import Running, ValuesIndices, running_reference


class Cummax(Op):
    """(values, indices): y_i = max(x_0, ..., x_i) along `dim`, and where it was; of equal ones the last. NaN wins."""

    name = "cummax"
    composite = True

    def forward(self, input: Tensor, dim: int) -> ValuesIndices:
        return ValuesIndices(*fn.cummax_along(input, dim))

    def reference(self, x: Any, dim: int) -> Any:
        return running_reference(np.maximum, x, dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7, distinct=True), 0), Case(T(3, 5, distinct=True), 1))


class CummaxAlong(Running):
    """What `cummax` computes."""

    name = "cummax_along"
    ufunc = "maximum"
