"""triu: the upper triangle."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap


class Triu(Op):
    """The upper triangle of each matrix in the last two dims, up to the diagonal `diagonal`; zeros elsewhere."""

    name = "triu"
    inplace = True

    def forward(self, ctx: Node, input: Tensor, diagonal: int = 0) -> Tensor:
        if input.array.ndim < 2:
            raise RuntimeError(f"triu: expected at least 2 dimensions, got the shape {tuple(input.shape)}")
        ctx.diagonal = diagonal
        return wrap(input.device.backend.xp.triu(input.array, diagonal), input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.triu(g, ctx.diagonal)

    def reference(self, x: Any, diagonal: int = 0) -> Any:
        y = x.copy()
        for i in range(x.shape[-2]):
            for j in range(x.shape[-1]):
                if j - i < diagonal:
                    y[..., i, j] = 0
        return y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 3)), Case(T(3, 5), 1), Case(T(2, 5, 3), -1), Case(T(0, 3)), Case(T(3, 2), diagonal=-7))
        yield Case(T(2, 2, 2, 3), 5)
        yield Case(T(3), error=(RuntimeError, "triu: expected at least 2 dimensions, got the shape (3,)"))
