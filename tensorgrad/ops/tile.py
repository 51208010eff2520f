"""tile: copies of the tensor side by side."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, Sizes, fn
from ..tensor import Tensor


class Tile(Op):
    """As `repeat`; fewer numbers than dims repeat the last dims only."""

    name = "tile"
    composite = True

    def forward(self, input: Tensor, dims: Sizes) -> Tensor:
        return fn.repeat(input, (1,) * (input.array.ndim - len(dims)) + tuple(dims))

    def reference(self, x: Any, dims: Any) -> Any:
        return np.tile(x, dims)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3), (2,)), Case(T(2, 3), (3, 1, 2)), Case(T(3), ()))
