"""expand_as: expand to another tensor's shape."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class ExpandAs(Op):
    """`input.expand(other.shape)`."""

    name = "expand_as"
    function = False
    composite = True

    def forward(self, input: Tensor, other: Tensor) -> Tensor:
        return fn.expand(input, other.array.shape)

    def reference(self, x: Any, other: Any) -> Any:
        return np.broadcast_to(x, other.shape)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(1, 3), T(4, 3)), Case(T(), T(2, 0)))
        yield Case(T(2, 3), T(3, 3), error=(RuntimeError, "expand: (2, 3)"))
