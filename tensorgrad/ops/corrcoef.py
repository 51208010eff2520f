"""corrcoef: correlations."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Corrcoef(Op):
    """The correlation matrix of variables (rows) from observations (columns), within [-1, 1]."""

    name = "corrcoef"
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        c = fn.cov(input)
        if not c.ndim:
            return c / c
        spread = fn.diagonal(c).sqrt()
        return (c / spread.unsqueeze(1) / spread).clamp(-1, 1)

    def reference(self, x: Any) -> Any:
        return np.corrcoef(x)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), smooth=False), Case(T(2, 7), smooth=False))
