"""fill: a copy filled with one value."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, Operand, fn
from ..tensor import Tensor


class FillCopy(Op):
    """A tensor of input's shape and dtype filled with `value`, a number or a tensor without dimensions."""

    name = "fill"
    method = False
    composite = True

    def forward(self, input: Tensor, value: Operand) -> Tensor:
        return fn.clone(input).fill_(value)

    def reference(self, x: Any, value: Any) -> Any:
        return np.full_like(x, value)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3), 1.5), Case(T(0), 2), Case(T(3), T()))
