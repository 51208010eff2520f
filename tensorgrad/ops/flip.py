"""flip: dimensions in reverse order."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, Sizes, fn
from ..tensor import Tensor, check_dim, wrap


class Flip(Op):
    """A copy with the order of the entries reversed in each of `dims`."""

    name = "flip"

    def forward(self, ctx: Node, input: Tensor, dims: Sizes) -> Tensor:
        x = input.array
        along = [check_dim("flip", d, x.ndim) for d in dims]
        if len(set(along)) != len(along):
            raise RuntimeError(f"flip: a dim appears more than once in {tuple(dims)}")
        ctx.dims = tuple(along)
        return wrap(x[tuple([slice(None, None, -1) if d in along else slice(None) for d in range(x.ndim)])].copy(), input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.flip(g, ctx.dims)

    def reference(self, x: Any, dims: Any) -> Any:
        return np.flip(x, dims)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5), (0,)), Case(T(3, 4), (0, 1)), Case(T(2, 3, 4), (-1, 0)), Case(T(2, 3), ()), Case(T(0, 2), (0,)))
        yield Case(T(3, 4), (0, 0), error=(RuntimeError, "flip: a dim appears more than once in (0, 0)"))
        yield Case(T(3), (1,), error=(IndexError, "flip: dim 1 is out of range"))
