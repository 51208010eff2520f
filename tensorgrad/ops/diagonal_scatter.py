"""diagonal_scatter: a copy with a part replaced."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class DiagonalScatter(Op):
    """A copy of input with `src` on a diagonal."""

    name = "diagonal_scatter"
    composite = True

    def forward(self, input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        out = fn.clone(input)
        place = fn.diagonal(out, offset, dim1, dim2)
        if tuple(place.shape) != tuple(src.shape):
            raise RuntimeError(f"diagonal_scatter: src has shape {tuple(src.shape)} but the place for it {tuple(place.shape)}")
        place.copy_(src)
        return out

    def reference(self, x: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
        y = x.copy()
        view = np.moveaxis(y, (dim1, dim2), (0, 1))
        n = src.shape[-1]
        i = np.arange(n)
        view[i - min(offset, 0), i + max(offset, 0)] = np.moveaxis(src, -1, 0)
        return y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 3), T(3)), Case(T(3, 4), T(3), 1), Case(T(4, 3), T(3), -1), Case(T(2, 3, 4), T(2, 3), 0, 1, 2))
        yield Case(T(3, 3), T(2), error=(RuntimeError, "diagonal_scatter: src has shape (2,) but the place for it (3,)"))
