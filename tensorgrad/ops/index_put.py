"""index_put: x[indices] = values, or += values."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor
from .shared.indexing import explain_index, fits, read_index


class IndexPut(Op):
    """input, with `values` written at the index tensors `indices`, or added there with `accumulate` (repeated places then add up)."""

    name = "index_put"
    autocast = ("", "widest")
    composite = True

    def forward(self, input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
        return fn.index_put_(input.clone(), indices, values, accumulate)

    def reference(self, x: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
        y = x.copy()
        if accumulate:
            np.add.at(y, tuple(indices), values)
        else:
            y[tuple(indices)] = values
        return y

    def cases(self) -> Iterable[Case]:
        i, j = T(values=[0, 2, 1], dtype="int64"), T(values=[1, 3, 1], dtype="int64")
        yield from (Case(T(3, 4), [i, j], T(3)), Case(T(3, 4), [i], T(3, 4)))
        yield Case(T(3, 4), [T(values=[0, 2, 0], dtype="int64"), j], T(3), True)
        yield Case(T(3, 4), [T(values=[2, 2], dtype="int64")], T(4), accumulate=True)
        yield Case(T(3, 4), [T(3, 4, dtype="bool")], T(), accumulate=True)
        yield Case(T(3), [T(values=[3], dtype="int64")], T(1), error=(IndexError, "index 3 is out of range for dim 0 of size 3"))


class IndexPutInPlace(Op):
    """`index_put` in this tensor itself."""

    name = "index_put_"
    function = False
    composite = True

    def forward(self, input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
        if not accumulate:
            return fn.setitem(input, tuple(indices), values)
        return fn.index_accumulate_(input, tuple(indices), values)


class IndexAccumulate(Op):
    """`input[index] += values`, where places that repeat add up."""

    name = "index_accumulate_"
    function = method = False
    mutates = True

    def forward(self, ctx: Node, input: Tensor, index: Any, values: Tensor) -> None:
        x, v = input.array, values.array
        key = read_index("index_put_", index, input)
        try:
            part = x[key.basic]
        except IndexError:
            raise explain_index("index_put_", index, input) from None
        if v.dtype != x.dtype:
            raise RuntimeError(f"index_put_: the tensor is {input.dtype.name} but values are {values.dtype.name}; convert one with "
                               ".to(...)")
        ctx.index, ctx.shape = key, v.shape
        if key.advanced is None:
            part += fits("index_put_", v, part.shape, "a selection")
            return
        shape = part[key.advanced].shape
        v = input.device.backend.xp.broadcast_to(fits("index_put_", v, shape, "a selection"), shape)
        fn.accumulate.op.add_at(input.device, part, key.advanced, v)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        if ctx.edges[1] is None:
            return g, None
        to_values = fn.getitem(g, ctx.index)
        extra = max(len(ctx.shape) - to_values.array.ndim, 0)
        return g, fn.sum_to_size(to_values, ctx.shape[extra:]).reshape(ctx.shape)

    def reference(self, x: Any, index: Any, values: Any) -> Any:
        y = x.copy()
        np.add.at(y, index, values if values.ndim <= y[index].ndim else values[0])
        return y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 4), ([0, 2, 0], [1, 1, 1]), T(3)), Case(T(3, 4), (slice(None), [1, 1]), T(2)))
        yield Case(T(3, 4), slice(1, 3), T(1, 1, 4))
