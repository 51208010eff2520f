"""index_select: rows picked along one dimension."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap
from .shared.indexing import check_index_tensor, positions


class IndexSelect(Op):
    """A copy in which dim `dim` holds the entries at `index` (1-dimensional, ints, not negative) in that order."""

    name = "index_select"

    def forward(self, ctx: Node, input: Tensor, dim: int, index: Tensor) -> Tensor:
        x, i = input.array, check_index_tensor("index_select", index)
        d = check_dim("index_select", dim, x.ndim)
        if i.ndim > 1:
            raise IndexError(f"index_select: index must have one dimension, it has shape {tuple(i.shape)}")
        if not x.ndim:
            positions("index_select", i, 0, 1, input.device, negative=False)
            return wrap(x.copy(), input.device)
        i = positions("index_select", i.reshape(-1), d, x.shape[d], input.device, negative=False)
        ctx.dim, ctx.index, ctx.shape = d, i, x.shape
        return wrap(x.take(i, axis=d), input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        if not hasattr(ctx, "dim"):
            return g, None
        index = wrap(ctx.index, g.device)
        return fn.index_add(g.new_zeros(ctx.shape), ctx.dim, index, g), None

    def reference(self, x: Any, dim: int, index: Any) -> Any:
        return np.take(x, index, dim) if x.ndim else x

    def cases(self) -> Iterable[Case]:
        i = T(4, dtype="int64", low=0, high=3)
        yield from (Case(T(3, 5), 0, i), Case(T(5, 3), -1, i), Case(T(3), 0, i), Case(T(2, 3, 2), 1, T(0, dtype="int64")))
        yield Case(T(7, 0), 0, i)
        yield Case(T(3, 5), 0, T(values=[0, 3], dtype="int64"),
                   error=(IndexError, "index_select: index 3 is out of range for dim 0 of size 3"))
        yield Case(T(3, 5), 0, T(2), error=(TypeError, "index_select: index must hold ints (int64), not float32"))
        yield Case(T(3, 5), 0, T(2, 2, dtype="int64", low=0), error=(IndexError, "index_select: index must have one dimension"))
