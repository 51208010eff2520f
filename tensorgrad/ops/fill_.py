"""fill_: set every element to one value."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, Operand
from ..tensor import Tensor


class Fill(Op):
    """Set every element to `value`, a number or a tensor without dimensions."""

    name = "fill_"
    function = False
    mutates = True

    def forward(self, ctx: Node, input: Tensor, value: Operand) -> None:
        if isinstance(value, Tensor):
            if value.array.ndim:
                raise RuntimeError(f"fill_: value must be a number or have no dimensions, it has shape {tuple(value.shape)}")
            value = value.array.astype(input.array.dtype)
        input.array.fill(value)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        return None, g.sum() if ctx.edges[1] else None

    def reference(self, x: Any, value: Any) -> Any:
        return np.full_like(x, value)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3), 1.5), Case(T(3), T()), Case(T(0), 1.0), Case(T(), -2))
        yield Case(T(2), T(2), error=(RuntimeError, "fill_: value must be a number"))
