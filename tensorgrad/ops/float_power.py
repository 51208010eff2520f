"""float_power: powers in double precision."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import dtypes
from ..cases import Case, T
from ..op import Op, Operand, fn
from ..tensor import Tensor


class FloatPower(Op):
    """z = input^exponent, computed and returned in float64."""

    name = "float_power"
    composite = True

    def forward(self, input: Operand, exponent: Operand) -> Tensor:
        a, b = (t.to(dtypes.float64) if isinstance(t, Tensor) else float(t) for t in (input, exponent))
        return fn.pow(a, b)

    def reference(self, x: Any, y: Any) -> Any:
        return np.power(x, y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, low=0.3), 2.5), Case(T(3, low=0.3), T(3)), Case(2.0, T(4)), Case(T(4, dtype="int64", low=1, high=5), 2))
