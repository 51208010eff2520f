"""put: values at places in row-major order."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..tensor import Tensor, wrap
from .shared.indexing import check_index_tensor, positions
from .shared.overwrite import Overwriting


class Put(Overwriting):
    """input, with the elements of `source` at the places `index` (ints of the same count) of its row-major order; or added there."""

    name = "put"

    def forward(self, ctx: Node, input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
        i = positions(self.name, check_index_tensor(self.name, index).reshape(-1), 0, input.array.size, input.device)
        s = source.array
        if s.size != len(i):
            raise RuntimeError(f"{self.name}: index of shape {tuple(index.shape)} and source of shape {tuple(s.shape)} must have as "
                               "many elements")
        if s.dtype != input.array.dtype:
            raise RuntimeError(f"{self.name}: the tensor is {input.dtype.name} but source is {source.dtype.name}; convert one with "
                               ".to(...)")
        ctx.index, ctx.shape, ctx.add = wrap(i.reshape(s.shape), input.device), s.shape, accumulate
        x = self.target(input)
        flat = x.reshape(-1)
        if accumulate:
            fn.accumulate.op.add_at(input.device, flat, (i,), s.reshape(-1))
        else:
            flat[i] = s.reshape(-1)
        if not x.flags.c_contiguous:
            x[...] = flat.reshape(x.shape)
        return wrap(x, input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        to_input = None
        if ctx.edges[0] is not None:
            to_input = g if ctx.add else fn.put(g, ctx.index, g.new_zeros(ctx.shape))
        return to_input, None, fn.take(g, ctx.index) if ctx.edges[2] is not None else None

    def reference(self, x: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
        y = x.copy().reshape(-1)
        for i, s in zip(index.reshape(-1), source.reshape(-1), strict=True):
            y[i] = y[i] + s if accumulate else s
        return y.reshape(x.shape)

    def cases(self) -> Iterable[Case]:
        yield Case(T(3, 4), T(values=[[0, 11], [-3, 4]], dtype="int64"), T(2, 2))
        yield Case(T(5), T(values=[1, 1, 4], dtype="int64"), T(3), True)
        yield Case(T(3, 4), T(values=[0, 12], dtype="int64"), T(2), error=(IndexError, "index 12 is out of range for dim 0 of size 12"))
        yield Case(T(3, 4), T(values=[0, 1], dtype="int64"), T(3), error=(RuntimeError, "must have as many elements"))
