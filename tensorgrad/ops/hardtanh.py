"""hardtanh: y = x within limits."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..pointwise import Piecewise
from ..tensor import Tensor


class Hardtanh(Piecewise):
    """y = min(max(x, min_val), max_val); the gradient is 0 from the limits on."""

    name = "hardtanh"

    def forward(self, ctx: Node, input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
        if min_val > max_val:
            raise RuntimeError(f"hardtanh: min_val {min_val} must not be above max_val {max_val}")
        return self.apply(ctx, input, min_val, max_val)

    def compute(self, xp: Any, x: Any, low: float, high: float) -> Any:
        return xp.minimum(xp.maximum(x, x.dtype.type(low)), x.dtype.type(high))

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        low, high = ctx.numbers
        return fn.where(fn.logical_and(x > low, x < high), g, 0.0)

    def reference(self, x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
        return np.clip(x, min_val, max_val)

    def cases(self) -> Iterable[Case]:
        yield from (case for case in super().cases() if case.error is None)
        yield Case(T(3, 5), -0.5, 1.5)
