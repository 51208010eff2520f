"""masked_scatter: values one after the other where a mask is true."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import check_broadcast
from ..tensor import Tensor, wrap
from .shared.overwrite import Overwriting


class MaskedScatter(Overwriting):
    """input, with the elements where `mask` is true replaced by those of `source` in order; the mask broadcasts to the input."""

    name = "masked_scatter"

    def forward(self, ctx: Node, input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
        x, m, s = input.array, mask.array, source.array
        if m.dtype != bool:
            raise RuntimeError(f"{self.name}: mask must be bool, not {mask.dtype.name}")
        if s.dtype != x.dtype:
            raise RuntimeError(f"{self.name}: the tensor is {input.dtype.name} but source is {source.dtype.name}; convert one with "
                               ".to(...)")
        check_broadcast(self.name, x.shape, m.shape)
        if np.broadcast_shapes(x.shape, m.shape) != x.shape:
            raise RuntimeError(f"{self.name}: a mask of shape {tuple(m.shape)} does not broadcast to the tensor's shape {tuple(x.shape)}")
        full = np.broadcast_to(m, x.shape)
        count = int(full.sum())
        if count > s.size:
            raise RuntimeError(f"{self.name}: the mask has {count} true elements but source of shape {tuple(s.shape)} only {s.size}")
        ctx.save(mask)
        ctx.shape = s.shape
        y = self.target(input)
        y[full] = s.reshape(-1)[:count]
        return wrap(y, input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        (mask,) = ctx.saved
        to_source = None
        if ctx.edges[2] is not None:
            picked = fn.masked_select(g, mask)
            to_source = fn.from_corner(picked, (math.prod(ctx.shape),)).reshape(ctx.shape)
        return fn.masked_fill(g, mask, 0) if ctx.edges[0] is not None else None, None, to_source

    def reference(self, x: Any, mask: Any, source: Any) -> Any:
        y = x.copy()
        full = np.broadcast_to(mask, x.shape)
        y[full] = source.reshape(-1)[:full.sum()]
        return y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(3, 5, dtype="bool"), T(15)), Case(T(3, 5), T(5, dtype="bool"), T(4, 5)))
        yield Case(T(0), T(0, dtype="bool"), T(2))
        yield Case(T(2), T(values=[True, True], dtype="bool"), T(1),
                   error=(RuntimeError, "the mask has 2 true elements but source of shape (1,) only 1"))
