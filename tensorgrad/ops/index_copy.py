"""index_copy: replace rows at given places of one dimension."""
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


class IndexCopy(Overwriting):
    """input, with its entry index[i] of dim `dim` replaced by source[i]; shapes as for `index_add`. No index may come twice for
    gradients."""

    name = "index_copy"
    autocast = ("widest", "")

    def forward(self, ctx: Node, input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
        ctx.dim, i, rows = rows_along(self.name, input, dim, index, source)
        ctx.index = wrap(i, input.device)
        x = self.target(input)
        (x if x.ndim else x.reshape(1))[(slice(None),) * ctx.dim + (i,)] = rows
        return wrap(x, input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        to_input = fn.index_fill(g, ctx.dim, ctx.index, 0) if ctx.edges[0] is not None else None
        return to_input, None, fn.index_select(g, ctx.dim, ctx.index) if ctx.edges[2] is not None else None

    def reference(self, x: Any, dim: int, index: Any, source: Any) -> Any:
        y = np.moveaxis(x.copy(), dim, 0)
        for k, i in enumerate(index):
            y[i] = np.moveaxis(source, dim, 0)[k]
        return np.moveaxis(y, 0, dim)

    def cases(self) -> Iterable[Case]:
        i = T(values=[2, 0], dtype="int64")
        yield from (Case(T(3, 5), 0, i, T(2, 5)), Case(T(5, 3), -1, i, T(5, 2)), Case(T(3), 0, i, T(2)))
        yield Case(T(3, 2), 0, T(0, dtype="int64"), T(0, 2))
        yield Case(T(3, 5), 0, i, T(3, 5), error=(RuntimeError, "source has 3 entries in dim 0 of (3, 5) but index has 2"))
        yield Case(T(2, 5), 0, i, T(2, 5), error=(IndexError, "index 2 is out of range for dim 0 of size 2"))
