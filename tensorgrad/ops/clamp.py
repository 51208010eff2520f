"""clamp: limit to [min, max]."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import dtypes
from ..cases import Case, T
from ..graph import Node
from ..op import Operand, fn
from ..pointwise import Pointwise, number_on, summed
from ..tensor import Tensor, wrap


class Clamp(Pointwise):
    """y = min(max(input, min), max); a bound may be a number, a tensor or None (but not both None). NaN stays NaN.

    The gradient goes to the input inside the bounds (bounds included) and otherwise to the bound that applied.
    """

    name = "clamp"
    aliases = ("clip",)
    inplace = True

    def forward(self, ctx: Node, input: Tensor, min: Operand = None, max: Operand = None) -> Tensor:  # type: ignore[assignment]
        if min is None and max is None:
            raise RuntimeError("clamp: at least one of min and max must be given")
        bounds = [b for b in (min, max) if b is not None]
        kind = dtypes.result_type(input, *bounds).np
        bounded = kind.kind in "iub"  # floats without a bound have an infinite one
        arrays = [b.array.astype(kind, copy=False) if isinstance(b, Tensor) else None if b is None and bounded else
                  number_on(input.device, i if b is None else b, kind) for i, b in ((-math.inf, min), (math.inf, max))]
        x = input.array.astype(kind, copy=False)
        ctx.kinds = [None if not isinstance(b, Tensor) else b.array.shape for b in (input, min, max)]
        ctx.numbers = [None if isinstance(b, Tensor) else b for b in (min, max)]
        ctx.save(input, *[b if isinstance(b, Tensor) else None for b in (min, max)])
        return wrap(self.kernel(input.device, x)(x, *arrays), input.device)

    def compute(self, xp: Any, x: Any, low: Any, high: Any) -> Any:
        y = x if low is None else xp.maximum(x, low)
        return y if high is None else xp.minimum(y, high)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, low, high = ctx.saved
        low = ctx.numbers[0] if low is None else low
        high = ctx.numbers[1] if high is None else high
        below = None if low is None else x < low
        above = None if high is None else x > high
        to_x = below if above is None else above if below is None else fn.logical_or(below, above)
        gx = summed(fn.where(to_x, 0.0, g), ctx.kinds[0]) if ctx.edges[0] is not None else None
        return gx, self._to_bound(ctx, 1, g, below, low, high), self._to_bound(ctx, 2, g, above, low, high)

    def _to_bound(self, ctx: Node, i: int, g: Tensor, applied: Any, low: Any, high: Any) -> Any:
        if len(ctx.edges) <= i or ctx.edges[i] is None:
            return None
        if low is not None and high is not None:  # where the bounds cross, max has the last word
            crossed = low > high
            applied = fn.logical_or(applied, crossed) if i == 2 else fn.logical_and(applied, fn.logical_not(crossed))
        return summed(fn.where(applied, g, 0.0), ctx.kinds[i])

    def reference(self, x: Any, min: Any = None, max: Any = None) -> Any:
        y = x if min is None else np.where(x < min, min, x)
        return y if max is None else np.where(y > max, max, y)

    def cases(self) -> Iterable[Case]:
        for shape in ((0,), (), (7,), (3, 5)):
            yield Case(T(*shape, distinct=True), -0.7, 1.1)
        yield from (Case(T(3, 5, distinct=True), min=-0.7), Case(T(3, 5, distinct=True), max=0.5))
        yield Case(T(3, 5, distinct=True), T(5, low=-1, high=-0.5), T(3, 1, low=0.5, high=1))
        yield Case(T(values=[np.nan, np.inf, -np.inf, 0.0], grad=False), -1.0, 1.0)
        yield Case(T(9, dtype="int64", low=-9, high=9), -3, 4)
        yield Case(T(3), error=(RuntimeError, "clamp: at least one of min and max"))

