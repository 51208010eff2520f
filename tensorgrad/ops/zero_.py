"""zero_: set every element to zero."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op
from ..tensor import Tensor


class Zero(Op):
    """Set every element to zero."""

    name = "zero_"
    function = False
    mutates = True

    def forward(self, ctx: Node, input: Tensor) -> None:
        input.array.fill(0)

    def backward(self, ctx: Node, g: Tensor) -> None:
        return None

    def reference(self, x: Any) -> Any:
        return np.zeros_like(x)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3)), Case(T(0)), Case(T()))
