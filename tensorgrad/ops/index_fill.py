"""index_fill: one value at given places of one dimension."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Operand, fn
from ..tensor import Tensor, check_dim, wrap
from .shared.indexing import check_index_tensor, check_number, positions
from .shared.overwrite import Overwriting


class IndexFill(Overwriting):
    """input, with all entries of dim `dim` at `index` (ints; negative ones count from the end) set to `value`, a number or a scalar
    tensor."""

    name = "index_fill"

    def forward(self, ctx: Node, input: Tensor, dim: int, index: Tensor, value: Operand) -> Tensor:
        d = check_dim(self.name, dim, input.array.ndim)
        i = check_index_tensor(self.name, index).reshape(-1)
        ctx.dim, ctx.index = d, wrap(positions(self.name, i, d, input.array.shape[d] if input.array.ndim else 1, input.device),
                                      input.device)
        if isinstance(value, Tensor):
            if value.array.ndim:
                raise RuntimeError(f"{self.name}: value must be a number or have no dimensions, it has shape {tuple(value.shape)}")
            ctx.kind, number = value.dtype, value.array
        else:
            check_number(self.name, value, "value")
            number = value
        x = self.target(input)
        (x if x.ndim else x.reshape(1))[(slice(None),) * d + (ctx.index.array,)] = number
        return wrap(x, input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        to_input = fn.index_fill(g, ctx.dim, ctx.index, 0) if ctx.edges[0] is not None else None
        if ctx.edges[2] is None:
            return to_input, None, None
        filled = fn.index_fill(wrap(g.device.backend.xp.zeros(g.array.shape, np.bool_), g.device), ctx.dim, ctx.index, True)
        return to_input, None, fn.where(filled, g, 0.0).sum().to(ctx.kind)

    def reference(self, x: Any, dim: int, index: Any, value: Any) -> Any:
        y = np.moveaxis(x.copy(), dim, 0)
        y[index] = value
        return np.moveaxis(y, 0, dim)

    def cases(self) -> Iterable[Case]:
        i = T(values=[2, 0], dtype="int64")
        yield from (Case(T(3, 5), 0, i, 1.5), Case(T(5, 3), -1, i, T()), Case(T(3), 0, T(values=[1, 1], dtype="int64"), T()))
        yield Case(T(3), 0, T(0, dtype="int64"), 2)
        yield Case(T(2, 5), 0, i, 1.0, error=(IndexError, "index 2 is out of range for dim 0 of size 2"))
        yield Case(T(3, 5), 0, i, T(2), error=(RuntimeError, "value must be a number or have no dimensions"))
