"""expand: repeat dimensions of size 1 without copying."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, Sizes, fn
from ..tensor import Tensor, wrap


class Expand(Op):
    """A view in which dimensions of size 1 are repeated to `size`; -1 keeps a size, new dimensions come in front."""

    name = "expand"
    function = False
    may_view = True

    def forward(self, ctx: Node, input: Tensor, size: Sizes) -> Tensor:
        x = input.array
        lead = len(size) - x.ndim
        stretch = lead >= 0 and all(s >= 0 for s in size[:lead])
        if not stretch or any(n != 1 and s not in (-1, n) for s, n in zip(size[lead:], x.shape, strict=True)):
            raise RuntimeError(f"expand: {tuple(x.shape)} cannot be expanded to {tuple(size)}: only dims of size 1 stretch")
        shape = tuple(size[:lead]) + tuple(n if s == -1 else s for s, n in zip(size[lead:], x.shape, strict=True))
        steps = (0,) * lead + tuple(0 if n == 1 else step for n, step in zip(x.shape, x.strides, strict=True))
        ctx.shape, ctx.view = x.shape, True
        if x.flags.c_contiguous and type(x) is np.ndarray:  # a tenth of the time as_strided takes
            return wrap(np.ndarray(shape, x.dtype, x, 0, steps), input.device)
        return wrap(input.device.backend.xp.lib.stride_tricks.as_strided(x, shape, steps), input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.sum_to_size(g, ctx.shape)

    def reference(self, x: Any, size: Any) -> Any:
        lead = len(size) - x.ndim
        return np.broadcast_to(x, tuple(size[:lead]) + tuple(n if s == -1 else s for s, n in zip(size[lead:], x.shape, strict=True)))

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(1, 3), size=(4, 3)), Case(T(3, 1), size=(2, -1, 5)), Case(T(), size=(2, 2)), Case(T(1, 0), size=(3, 0)))
        yield Case(T(2, 3), size=(3, 3), error=(RuntimeError, "expand: (2, 3) cannot be expanded to (3, 3)"))
