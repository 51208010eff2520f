"""getitem: y = x[index]."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.indexing import Index, explain_index, read_index


class GetItem(Op):
    """`input[index]`, by PyTorch's rules: a view for ints, slices with positive steps, None and Ellipsis; a copy as soon as masks,
    lists, ranges or index tensors take part.

    IndexError for an index out of range; ValueError for a negative step. The gradient adds up where an element was taken twice.
    """

    name = "getitem"
    function = method = False
    operators = ("__getitem__",)
    may_view = True
    torch_name = ""

    def forward(self, ctx: Node, input: Tensor, index: Any) -> Tensor:
        x = input.array
        if index.__class__ is Tensor and index.array.dtype == np.int64 and index.device is input.device and index.array.ndim and x.ndim:
            try:
                y = x[index.array]
            except IndexError:
                raise explain_index("getitem", index, input) from None
            if ctx.edges is not None:
                ctx.shape, ctx.index = x.shape, Index((...,), (index.array.copy(),), False)
            return wrap(y, input.device)
        key = read_index("getitem", index, input)
        try:
            y = x[key.basic]
        except IndexError:
            raise explain_index("getitem", index, input) from None
        if key.advanced is None:
            ctx.view = True
        else:
            y = y[key.advanced]
        ctx.shape, ctx.index = x.shape, key
        return wrap(y, input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.getitem_backward(g, ctx.shape, ctx.index)

    def reference(self, x: Any, index: Any) -> Any:
        return x[index]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, 3), 2), Case(T(5, 3), -1), Case(T(5), 3), Case(T(), ()), Case(T(5, 3), (slice(1, 4), slice(None, None, 2))))
        yield from (Case(T(4, 3, 2), (..., 1)), Case(T(4, 3), (None, slice(2), None, 0)), Case(T(0, 3), slice(0, 5)))
        yield Case(T(3), slice(9, 1))
        yield from (Case(T(5, 3), [0, 4, 0, -1]), Case(T(5, 3), T(2, 2, dtype="int64", low=-5, high=5)))
        yield Case(T(5, 3), T(5, 3, dtype="bool"))
        yield from (Case(T(5, 3), T(5, dtype="bool")), Case(T(4, 3, 2), ([0, 1], slice(None), [1, 1])))
        yield Case(T(4, 3, 2), (slice(1, 3), [0, 2, 2]))
        yield from (Case(T(5, 3), []), Case(T(3, 4), ([[0], [2]], [1, 3, 3])), Case(T(2, 3), True), Case(T(2, 3), False))
        yield Case(T(3, 4), 5, error=(IndexError, "getitem: index 5 is out of range for dim 0 of size 3"))
        yield Case(T(3, 4), (0, -5), error=(IndexError, "getitem: index -5 is out of range for dim 1 of size 4"))
        yield Case(T(3, 4), (slice(None), [0, 4]), error=(IndexError, "getitem: index 4 is out of range for dim 1 of size 4"))
        yield Case(T(3, 4), (0, 0, 0), error=(IndexError, "getitem: 3 indices for a tensor of 2 dimensions"))
        yield Case(T(3), slice(None, None, -1), error=(ValueError, "getitem: slice steps must be positive, got -1"))
        yield Case(T(3, 4), T(4, dtype="bool"), error=(IndexError, "dim 0 of the mask is 4, dim 0 of the tensor is 3"))
        yield Case(T(3), T(2), error=(IndexError, "getitem: index tensors hold ints or bools, not float32"))


class GetItemBackward(Op):
    """Zeros of `shape` with `input` added at `index`."""

    name = "getitem_backward"
    function = method = False

    def forward(self, ctx: Node, input: Tensor, shape: tuple[int, ...], index: Index) -> Tensor:
        g, xp = input.array, input.device.backend.xp
        if index.advanced is not None:  # a sample call gives positions as the host's arrays
            there = input.device.backend.asarray
            index = Index(index.basic, tuple([k if isinstance(k, slice) else there(k) for k in index.advanced]), index.unique)
        ctx.index = index
        out = xp.zeros(shape, g.dtype)
        part = out[index.basic]
        if index.advanced is None:
            part[...] = g
        elif index.unique:
            part[index.advanced] = g
        else:
            fn.accumulate.op.add_at(input.device, part, index.advanced, g)
        return wrap(out, input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.getitem(g, ctx.index)

    def reference(self, g: Any, shape: Any, index: Any) -> Any:
        out = np.zeros(shape)
        part = out[index.basic]
        if index.advanced is None:
            part += g
        else:
            np.add.at(part, index.advanced, g)
        return out

    def cases(self) -> Iterable[Case]:
        yield Case(T(2, 3), (5, 3), Index((slice(1, 3), ...)))
        yield Case(T(4, 3), (5, 3), Index((...,), (np.array([0, 4, 0, 4]),), False))
