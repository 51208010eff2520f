"""heaviside: the step function."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Operand
from ..pointwise import Binary
from ..tensor import Tensor


class Heaviside(Binary):
    """z = 0 for input < 0, `values` at 0, 1 above; 0 for NaN. There is no gradient."""

    name = "heaviside"
    differentiable = False
    torch_number_first = False

    def forward(self, ctx: Node, input: Tensor, values: Operand) -> Tensor:
        if isinstance(values, Tensor) and values.dtype is not input.dtype:
            raise RuntimeError(f"heaviside: input is {input.dtype.name} but values are {values.dtype.name}; convert one with .to(...)")
        return super().forward(ctx, input, values)

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return xp.where(x == 0, y, xp.where(x > 0, 1, 0)).astype(x.dtype, copy=False)

    def reference(self, x: Any, y: Any) -> Any:
        return np.where(x == 0, y, np.where(x > 0, 1, 0))

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, grad=False), T(5, grad=False)), Case(T(values=[-1.0, 0.0, 2.0, np.nan], grad=False), T(4, grad=False)))
        yield Case(T(3), T(3, dtype="int64"), error=(RuntimeError, "heaviside: input is float32 but values are int64"))
