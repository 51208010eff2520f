"""roll: entries shifted around."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap


class Roll(Op):
    """Entries moved by `shifts` along `dims`; those that fall off the end come back at the beginning. Flattened without `dims`."""

    name = "roll"

    def forward(self, ctx: Node, input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
        x = input.array
        by = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
        along = () if dims is None else tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
        if (along or len(by) > 1) and len(by) != len(along):
            raise RuntimeError(f"roll: {len(by)} shifts {by} for {len(along)} dims {along}; give one each")
        if along and not x.ndim:
            raise IndexError(f"roll: the tensor has no dimensions, dims are {along}")
        along = tuple([check_dim("roll", d, x.ndim) for d in along])
        ctx.shifts, ctx.dims = tuple([-s for s in by]), along or None
        y = input.device.backend.xp.roll(x, by if along else by[0], along if along and x.ndim else None)
        return wrap(y, input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.roll(g, ctx.shifts, ctx.dims)

    def reference(self, x: Any, shifts: Any, dims: Any = None) -> Any:
        return np.roll(x, shifts, dims)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5), 2), Case(T(3, 4), 3), Case(T(3, 4), -1, 0), Case(T(3, 4), (1, 6), (0, 1)), Case(T(0, 2), 1, 0))
        yield Case(T(2, 3), (1, 2), (-1, -1))
        yield Case(T(3, 4), (1, 2), error=(RuntimeError, "roll: 2 shifts (1, 2) for 0 dims ()"))
        yield Case(T(3, 4), 1, 2, error=(IndexError, "roll: dim 2 is out of range"))
