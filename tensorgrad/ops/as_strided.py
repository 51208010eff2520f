"""as_strided: a view with given sizes and strides."""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap


class AsStrided(Op):
    """A view of a contiguous tensor's memory with any `size` and `stride` (in elements), from element `storage_offset`.

    RuntimeError where it would reach outside of the tensor. The gradient adds up where an element appears more than once.
    """

    name = "as_strided"
    may_view = True
    copies = False

    def forward(self, ctx: Node, input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
        x, first = input.array, storage_offset or 0
        if not x.flags.c_contiguous:
            raise RuntimeError(f"as_strided: needs a contiguous tensor, this one has strides {input.stride()}; use contiguous()")
        if len(size) != len(stride) or min((*size, *stride, first), default=0) < 0:
            raise RuntimeError(f"as_strided: size {tuple(size)} and stride {tuple(stride)} must be as many and not negative")
        last = first + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if 0 not in size else -1
        if last >= x.size:
            raise RuntimeError(f"as_strided: size {tuple(size)}, stride {tuple(stride)} and offset {first} reach element {last} of "
                               f"{x.size}")
        ctx.args, ctx.shape, ctx.view = (tuple(size), tuple(stride), first), x.shape, True
        y = input.device.backend.xp.lib.stride_tricks.as_strided(x.reshape(-1)[first:], size, [s * x.itemsize for s in stride])
        return wrap(y, input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        size, stride, first = ctx.args
        places = np.full(size, first)
        for d, (n, s) in enumerate(zip(size, stride, strict=True)):
            places += (np.arange(n) * s).reshape((n,) + (1,) * (len(size) - d - 1))
        index = wrap(g.device.backend.constant(places.reshape(-1)), g.device)
        flat = g.new_zeros(math.prod(ctx.shape))
        return fn.index_add(flat, 0, index, g.reshape(-1)).reshape(ctx.shape)

    def reference(self, x: Any, size: Any, stride: Any, storage_offset: int = 0) -> Any:
        out = np.empty(size)
        for place in np.ndindex(*size):
            out[place] = x.ravel()[storage_offset + sum(i * s for i, s in zip(place, stride, strict=True))]
        return out

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 4), (2, 2), (4, 1), 1), Case(T(6), (4, 3), (1, 1)), Case(T(5), (2, 3), (0, 2)), Case(T(4), (0, 3), (1, 1)))
        yield Case(T(3, 4), (4, 4), (4, 1),
                   error=(RuntimeError, "as_strided: size (4, 4), stride (4, 1) and offset 0 reach element 15 of 12"))
