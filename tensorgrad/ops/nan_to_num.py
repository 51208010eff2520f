"""nan_to_num: numbers in place of NaN and infinities."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import dtypes
from ..cases import Case, T, unary_shapes
from ..graph import Node
from ..op import fn
from ..pointwise import Unary
from ..tensor import Tensor, wrap


class NanToNum(Unary):
    """NaN becomes `nan` (0), infinities `posinf` and `neginf` (the largest and lowest finite value). They get no gradient."""

    name = "nan_to_num"
    float_only = False

    def forward(self, ctx: Node, input: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
        if not input.dtype.is_floating_point:
            return wrap(input.array.copy(), input.device)
        info = dtypes.finfo(input.dtype)
        high, low = info.max if posinf is None else posinf, info.min if neginf is None else neginf
        return self.apply(ctx, input, 0.0 if nan is None else nan, high, low)

    def compute(self, xp: Any, x: Any, nan: float, high: float, low: float) -> Any:
        kind = x.dtype.type
        return xp.where(xp.isnan(x), kind(nan), xp.where(x == xp.inf, kind(high), xp.where(x == -xp.inf, kind(low), x)))

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return fn.where(x.isfinite(), g, 0.0)

    def reference(self, x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
        return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)

    def cases(self) -> Iterable[Case]:
        yield from unary_shapes()
        yield Case(T(values=[np.nan, np.inf, -np.inf, 1.0], grad=False), 1.0, 2.0, -3.0)
