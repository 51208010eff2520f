"""round: y = the integer nearest to x."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..pointwise import Rounding
from ..tensor import Tensor, wrap


class Round(Rounding):
    """y = x rounded to `decimals` places, halves to the even neighbour. The gradient is zero."""

    name = "round"
    places = ("special.round",)

    def forward(self, ctx: Node, input: Tensor, *, decimals: int = 0) -> Tensor:
        if not input.dtype.is_floating_point:
            if decimals:
                raise RuntimeError(f"round: decimals are for floating tensors, this one is {input.dtype.name}")
            return wrap(input.array.copy(), input.device)
        return self.apply(ctx, input, decimals)

    def compute(self, xp: Any, x: Any, decimals: int) -> Any:
        if decimals == 0:
            return xp.rint(x)
        scale = x.dtype.type(10.0 ** abs(decimals))
        return xp.rint(x * scale) / scale if decimals > 0 else xp.rint(x / scale) * scale

    def reference(self, x: Any, decimals: int = 0) -> Any:
        return np.round(x, decimals)

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield from (Case(T(7), decimals=1), Case(T(7, low=-200, high=200), decimals=-1))
        yield Case(T(values=[0.5, 1.5, 2.5, -0.5, -1.5], grad=False))
