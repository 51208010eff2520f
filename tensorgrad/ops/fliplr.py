"""fliplr: left and right exchanged."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Fliplr(Op):
    """A copy with left and right exchanged: `flip` of dim 1."""

    name = "fliplr"
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        if input.array.ndim < 2:
            raise RuntimeError(f"fliplr: expected at least 2 dimensions, got the shape {tuple(input.shape)}")
        return fn.flip(input, (1,))

    def reference(self, x: Any) -> Any:
        return np.fliplr(x)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 4)), Case(T(2, 3, 2)))
        yield Case(T(3), error=(RuntimeError, "fliplr: expected at least 2"))
