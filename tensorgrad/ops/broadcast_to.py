"""broadcast_to: a view in a larger shape."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, Sizes, fn
from ..tensor import Tensor


class BroadcastTo(Op):
    """`input.expand(size)`: a view in which dims of size 1 are repeated."""

    name = "broadcast_to"
    composite = True

    def forward(self, input: Tensor, size: Sizes) -> Tensor:
        return fn.expand(input, size)

    def reference(self, x: Any, size: Any) -> Any:
        return np.broadcast_to(x, size)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(1, 3), (4, 3)), Case(T(), (2, 0)))
        yield Case(T(2, 3), (3, 3), error=(RuntimeError, "expand: (2, 3)"))
