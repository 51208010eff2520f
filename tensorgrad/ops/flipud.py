"""flipud: top and bottom exchanged."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Flipud(Op):
    """A copy with top and bottom exchanged: `flip` of dim 0."""

    name = "flipud"
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        if input.array.ndim < 1:
            raise RuntimeError(f"flipud: expected at least 1 dimension, got the shape {tuple(input.shape)}")
        return fn.flip(input, (0,))

    def reference(self, x: Any) -> Any:
        return np.flipud(x)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 4)), Case(T(2, 3, 2)))
        yield Case(T(), error=(RuntimeError, "flipud: expected at least 1"))
