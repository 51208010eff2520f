"""triu_indices: where the upper triangle is."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import dtypes
from ..cases import Case
from ..graph import Node
from ..op import Op
from ..tensor import Tensor, as_device, wrap


class TriuIndices(Op):
    """The (row, column) indices, as (2, count) in int64, of the upper triangle of a `row` x `col` matrix up to the diagonal `offset`."""

    name = "triu_indices"
    method = differentiable = False

    def forward(self, ctx: Node, row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
        if row < 0 or col < 0:
            raise RuntimeError(f"triu_indices: the sizes must not be negative, got {row} and {col}")
        where = as_device(device)
        kind = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
        return wrap(where.backend.constant(np.stack(np.triu_indices(row, offset, col)).astype(kind.np, copy=False)), where)

    def reference(self, row: int, col: int, offset: int = 0) -> Any:
        keep = [(i, j) for i in range(row) for j in range(col) if j - i >= offset]
        return np.array(keep, np.int64).reshape(len(keep), 2).T

    def cases(self) -> Iterable[Case]:
        yield from (Case(3, 3), Case(3, 5, 1), Case(4, 2, -1), Case(0, 3), Case(2, 3, offset=-7))
        yield Case(-1, 2, error=(RuntimeError, "triu_indices: the sizes must not be negative, got -1 and 2"))
