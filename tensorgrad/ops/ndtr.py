"""ndtr, ndtri: the distribution function of the standard normal distribution, and its inverse."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Ndtr(Op):
    """y = the probability that a standard normal number is below x."""

    name = "ndtr"
    places = ("special.ndtr",)
    function = method = False
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        x = input if input.dtype.is_floating_point else input.float()
        return fn.erfc(x * -math.sqrt(0.5)) * 0.5

    def reference(self, x: Any) -> Any:
        return np.vectorize(lambda v: math.erfc(-v / math.sqrt(2)) / 2, otypes=[np.float64])(x)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7)), Case(T(2, 3)), Case(T(0)), Case(T()))


class Ndtri(Op):
    """y = the number below which a standard normal number is with probability x."""

    name = "ndtri"
    autocast = ("", "widest")
    places = ("special.ndtri",)
    function = method = False
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        x = input if input.dtype.is_floating_point else input.float()
        return fn.erfinv(x * 2 - 1) * math.sqrt(2)

    def reference(self, x: Any) -> Any:
        return fn.erfinv.op.reference(2 * x - 1) * math.sqrt(2)

    def cases(self) -> Iterable[Case]:
        near: dict[str, Any] = {"low": 0.1, "high": 0.4}
        yield from (Case(T(7, **near)), Case(T(2, 3, **near)), Case(T(0)))
