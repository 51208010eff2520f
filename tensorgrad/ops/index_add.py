"""index_add: add rows at given places of one dimension."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..tensor import Tensor, wrap
from .shared.indexing import rows_along
from .shared.overwrite import Overwriting


class IndexAdd(Overwriting):
    """input, with alpha * source[i] added at index[i] of dim `dim`; an index that comes twice adds twice.

    `source` has the shape of the input, but for dim `dim`, where it has as many entries as `index` (1-dimensional ints).
    """

    name = "index_add"

    def forward(self, ctx: Node, input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
        ctx.dim, i, rows = rows_along(self.name, input, dim, index, source)
        ctx.index, ctx.alpha = wrap(i, input.device), alpha
        x = self.target(input)
        rows = rows if alpha == 1 else rows * input.device.backend.scalar(np.asarray(alpha, x.dtype))
        into = x if x.ndim else x.reshape(1)
        fn.accumulate.op.add_rows(input.device, into, ctx.dim, i, rows)
        return wrap(x, input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        to_source = None
        if ctx.edges[2] is not None:
            to_source = fn.index_select(g, ctx.dim, ctx.index)
            to_source = to_source if ctx.alpha == 1 else to_source * ctx.alpha
        return g, None, to_source

    def reference(self, x: Any, dim: int, index: Any, source: Any, alpha: float = 1) -> Any:
        y = np.moveaxis(x.copy(), dim, 0)
        for k, i in enumerate(index):
            y[i] += alpha * np.moveaxis(source, dim, 0)[k]
        return np.moveaxis(y, 0, dim)

    def cases(self) -> Iterable[Case]:
        i = T(4, dtype="int64", low=0, high=3)
        yield from (Case(T(3, 5), 0, i, T(4, 5)), Case(T(5, 3), -1, i, T(5, 4), alpha=0.5), Case(T(3), 0, i, T(4)))
        yield Case(T(2, 3, 2), 1, i, T(2, 4, 2))
        yield from (Case(T(3, 2), 0, T(0, dtype="int64"), T(0, 2)), Case(T(3, 0), 0, i, T(4, 0)))
        yield Case(T(3, 5), 0, i, T(3, 5), error=(RuntimeError, "source has 3 entries in dim 0 of (3, 5) but index has 4"))
        yield Case(T(3, 5), 0, i, T(4, 2), error=(RuntimeError, "source of shape (4, 2) does not fit the tensor of shape (3, 5) in dim 1"))
        yield Case(T(3, 5), 0, T(values=[0, 3], dtype="int64"), T(2, 5), error=(IndexError, "index 3 is out of range for dim 0 of size 3"))
