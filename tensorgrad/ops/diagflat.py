"""diagflat: a matrix with all elements on a diagonal."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class DiagFlat(Op):
    """A matrix with the elements of the input, in row-major order, on its diagonal `offset`."""

    name = "diagflat"
    composite = True

    def forward(self, input: Tensor, offset: int = 0) -> Tensor:
        return fn.diag_embed(fn.reshape(input, (-1,)), offset)

    def reference(self, x: Any, offset: int = 0) -> Any:
        return np.diagflat(x, offset)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3)), Case(T(2, 2), 1), Case(T(), -1))
