"""cummin: running minimum."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.reduction import Running, ValuesIndices, running_reference


class Cummin(Op):
    """(values, indices): y_i = min(x_0, ..., x_i) along `dim`, and where it was; of equal ones the last. NaN wins."""

    name = "cummin"
    composite = True

    def forward(self, input: Tensor, dim: int) -> ValuesIndices:
        return ValuesIndices(*fn.cummin_along(input, dim))

    def reference(self, x: Any, dim: int) -> Any:
        return running_reference(np.minimum, x, dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7, distinct=True), 0), Case(T(3, 5, distinct=True), 1))


class CumminAlong(Running):
    """What `cummin` computes."""

    name = "cummin_along"
    ufunc = "minimum"
