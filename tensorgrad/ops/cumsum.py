"""cumsum: running sum."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dtypes import dtype as DType
from ..graph import Node
from ..op import Op
from ..tensor import Tensor, check_dim, wrap


class Cumsum(Op):
    """y_i = x_0 + ... + x_i along `dim`; integers and bools add up in int64."""

    name = "cumsum"
    autocast = ("", "float32")
    inplace = True

    def forward(self, ctx: Node, input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
        x = input.array
        d = check_dim("cumsum", dim, x.ndim)
        kind = dtype.np if dtype is not None else (x.dtype if input.dtype.is_floating_point else np.dtype(np.int64))
        ctx.dim, ctx.kind = d, input.dtype
        if x.ndim == 0:
            return wrap(x.astype(kind), input.device)
        wide = kind if kind.kind in "biu" else np.float64  # one rounding instead of one a step
        return wrap(input.device.backend.xp.cumsum(x.astype(wide, copy=False), axis=d, dtype=wide).astype(kind, copy=False), input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return (g.flip(ctx.dim).cumsum(ctx.dim).flip(ctx.dim) if g.array.ndim else g).to(ctx.kind)

    def reference(self, x: Any, dim: int) -> Any:
        return np.cumsum(x, axis=dim) if x.ndim else x

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7), 0), Case(T(3, 5), 1), Case(T(2, 3, 4), -2), Case(T(), 0), Case(T(0), 0), Case(T(2, 0), 0), Case(T(3000), 0))
        yield from (Case(T(5, dtype="bool"), 0), Case(T(2, 3), 2, error=(IndexError, "cumsum: dim 2 is out of range")))
