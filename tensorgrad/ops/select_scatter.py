"""select_scatter: a copy with a part replaced."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class SelectScatter(Op):
    """A copy of input whose entry `index` of `dim` is `src`."""

    name = "select_scatter"
    composite = True

    def forward(self, input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
        out = fn.clone(input)
        place = fn.select(out, dim, index)
        if tuple(place.shape) != tuple(src.shape):
            raise RuntimeError(f"select_scatter: src has shape {tuple(src.shape)} but the place for it {tuple(place.shape)}")
        place.copy_(src)
        return out

    def reference(self, x: Any, src: Any, dim: int, index: int) -> Any:
        y = np.moveaxis(x.copy(), dim, 0)
        y[index] = src
        return np.moveaxis(y, 0, dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 4), T(4), 0, 1), Case(T(3, 4), T(3), 1, -1))
        yield Case(T(3, 4), T(3), 0, 1, error=(RuntimeError, "select_scatter: src has shape (3,) but the place for it (4,)"))
