"""histc: a histogram."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op
from ..tensor import Tensor, wrap


class HistC(Op):
    """The counts, in the input's dtype, of the elements in `bins` equal intervals from `min` to `max` (both included); of the smallest
    to the largest element where min and max are equal. Others, and NaN, are not counted."""

    name = "histc"
    differentiable = False
    half = False  # PyTorch has none on the CPU, and counts would round

    def forward(self, ctx: Node, input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
        x = input.array.reshape(-1)
        if not input.dtype.is_floating_point:
            raise RuntimeError(f"histc: expected a floating tensor, got {input.dtype.name}")
        if bins <= 0:
            raise RuntimeError(f"histc: bins must be positive, got {bins}")
        if max < min:
            raise RuntimeError(f"histc: max {max} is below min {min}")
        low, high = float(min), float(max)
        if low == high and x.size:
            low, high = float(x.min()), float(x.max())
        if low == high:
            low, high = low - 1, high + 1
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RuntimeError(f"histc: the range from {low} to {high} is not finite")
        inside = x[(x >= low) & (x <= high)].astype(np.float64)
        place = np.minimum(((inside - low) * (bins / (high - low))).astype(np.int64), bins - 1)
        return wrap(np.bincount(place, minlength=bins).astype(input.array.dtype), input.device)

    def reference(self, x: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
        return np.histogram(x, bins, (min, max) if min != max else (x.min(), x.max()))[0]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(50), 7), Case(T(4, 5), bins=4, min=-1, max=1), Case(T(values=[0.0, 1.0, 2.0, 1.0]), 4, 0, 3))
        yield Case(T(3), 0, error=(RuntimeError, "histc: bins must be positive, got 0"))
        yield Case(T(3), 4, 2, 1, error=(RuntimeError, "histc: max 1 is below min 2"))
