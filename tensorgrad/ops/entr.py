"""entr: the entropy function."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Entr(Op):
    """y = -x ln(x), 0 at 0, -inf below."""

    name = "entr"
    places = ("special.entr",)
    function = method = False
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        x = input if input.dtype.is_floating_point else input.float()
        return fn.where(x < 0, float("-inf"), -fn.xlogy(x, x))

    def reference(self, x: Any) -> Any:
        return -x * np.log(x)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7, low=0.1)), Case(T(2, 3, low=0.1)), Case(T(0)), Case(T(low=0.1)))
