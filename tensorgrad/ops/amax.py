"""amax: the largest element over some dimensions."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op
from ..pointwise import QUIET
from ..tensor import Tensor, wrap
from .shared.reduction import reduced_dims, refuse_empty, share_evenly


class Amax(Op):
    """The largest element over `dim` (one, several, or all of them); NaN wins. Equal ones share the gradient evenly."""

    name = "amax"

    def forward(self, ctx: Node, input: Tensor, dim: int | Sequence[int] = (), keepdim: bool = False) -> Tensor:
        x = input.array
        dims = reduced_dims("amax", dim, x.ndim)
        refuse_empty("amax", x.shape, dims)
        ctx.dims, ctx.keepdim = dims, keepdim
        out = wrap(QUIET.run(input.device.backend.xp.amax, x, axis=dims, keepdims=keepdim), input.device)
        ctx.save(input, out)
        return out

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        x, y = ctx.saved
        return share_evenly(g, x, y, ctx.dims, ctx.keepdim)

    def reference(self, x: Any, dim: Any = (), keepdim: Any = False) -> Any:
        axes = tuple(range(x.ndim)) if dim == () else tuple(dim) if isinstance(dim, list) else (dim,)
        return np.maximum.reduce(x, axes, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, distinct=True)), Case(T(3, 5, distinct=True), dim=1))
        yield Case(T(2, 3, 5, distinct=True), dim=[0, -1], keepdim=True)
        yield from (Case(T()), Case(T(0, 3), dim=1), Case(T(6, dtype="int64", low=-9, high=9)))
        yield Case(T(values=[[1.0, np.nan], [2.0, np.inf]], grad=False), dim=1)
        yield Case(T(0, 3), dim=0, error=(IndexError, "amax: dim 0 of shape (0, 3) has no elements"), torch=False)
        yield Case(T(0), error=(RuntimeError, "amax: an empty tensor of shape (0,)"))
