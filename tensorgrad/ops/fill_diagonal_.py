"""fill_diagonal_: set the diagonal to one value."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor


class FillDiagonal(Op):
    """Set the elements (i, i, ..., i) to a number; `wrap` starts a tall matrix's diagonal again after a free row, each time it ends."""

    name = "fill_diagonal_"
    function = False
    mutates = True

    def forward(self, ctx: Node, input: Tensor, fill_value: float, wrap: bool = False) -> None:
        x = input.array
        if x.ndim < 2:
            raise RuntimeError(f"fill_diagonal_: expected at least two dimensions, got the shape {tuple(x.shape)}")
        if x.ndim > 2 and len(set(x.shape)) > 1:
            raise RuntimeError(f"fill_diagonal_: with more than two dimensions all sizes must be equal, got {tuple(x.shape)}")
        ctx.wrap = wrap
        i = input.device.backend.xp.arange(min(x.shape))
        x[(i,) * x.ndim] = fill_value
        if wrap and x.ndim == 2:
            for start in range(x.shape[1] + 1, x.shape[0], x.shape[1] + 1):
                i = input.device.backend.xp.arange(min(x.shape[0] - start, x.shape[1]))
                x[start + i, i] = fill_value

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.clone(g).fill_diagonal_(0.0, ctx.wrap)

    def reference(self, x: Any, value: float, wrap: bool = False) -> Any:
        y = x.copy()
        np.fill_diagonal(y, value, wrap)
        return y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 3), 1.5), Case(T(2, 4), -1.0), Case(T(7, 3), 2.0, wrap=True), Case(T(7, 3), 2.0), Case(T(3, 3, 3), 0.5))
        yield Case(T(3), 1.0, error=(RuntimeError, "fill_diagonal_: expected at least two dimensions, got the shape (3,)"))
