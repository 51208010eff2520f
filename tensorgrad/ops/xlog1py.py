"""xlog1py: z = x ln(1 + y)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, Operand, fn
from ..tensor import Tensor


class Xlog1py(Op):
    """z = input * ln(1 + other), and 0 where input is 0 (unless other is NaN)."""

    name = "xlog1py"
    autocast = ("", "widest")
    places = ("special.xlog1py",)
    function = method = False
    composite = True

    def forward(self, input: Operand, other: Operand) -> Tensor:
        log: Any = fn.log1p(other) if isinstance(other, Tensor) else float(np.log1p(other))
        product: Tensor = input * log
        if not isinstance(other, Tensor):
            return product
        return fn.where(fn.logical_and(other == other, input == 0), 0.0, product)  # 0 * -inf, but not 0 * NaN

    def reference(self, x: Any, y: Any) -> Any:
        return x * np.log1p(y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(5, low=-0.5)), Case(T(4), 0.5), Case(1.5, T(4, low=-0.5)), Case(T(0), T(0)))
