"""gelu: y = x Phi(x)."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..pointwise import Activation, ActivationBackward
from ..tensor import Tensor


def check_approximate(op: str, approximate: str) -> int:
    """The flag of the kernels for what `approximate` says; RuntimeError for another word."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"{op}: approximate must be 'none' or 'tanh', not {approximate!r}")
    return int(approximate == "tanh")


class Gelu(Activation):
    """y = x Phi(x), Phi the normal distribution (Hendrycks and Gimpel, 2016).

    `approximate="tanh"` is x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2.
    """

    name = "gelu"
    inplace = False

    def forward(self, ctx: Node, input: Tensor, *, approximate: str = "none") -> Tensor:
        return self.apply(ctx, input, check_approximate("gelu", approximate))

    def reference(self, x: Any, approximate: str = "none") -> Any:
        with np.errstate(all="ignore"):
            if approximate == "tanh":
                return x / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))  # (1 + tanh u) / 2, exact in the tail
            return x * 0.5 * np.vectorize(math.erfc, otypes=[np.float64])(-x / np.sqrt(2))

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield from (Case(T(3, 5), approximate="tanh"), Case(T(37, low=-9, high=9), approximate="tanh"), Case(T(37, low=-9, high=9)))
        yield Case(T(3), approximate="erf", error=(RuntimeError, "gelu: approximate must be 'none' or 'tanh', not 'erf'"))


class GeluBackward(ActivationBackward):
    """gx = g (Phi(x) + x phi(x)), or the derivative of the approximation where its last argument is 1."""

    name = "gelu_backward"
    group = "gelu"
    sample = (0,)

    def slope(self, x: Tensor, approximate: int) -> Tensor:
        if not approximate:
            density = (x * x * -0.5).exp() * (1 / math.sqrt(2 * math.pi))
            return ((x * math.sqrt(0.5)).erf() + 1.0) * 0.5 + x * density
        k, c = 2 * math.sqrt(2 / math.pi), 0.044715
        s = (x * (x * x * (k * c) + k)).sigmoid()
        return s + x * s * (1.0 - s) * (x * x * (3 * k * c) + k)

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(41), T(41, low=-5, high=5), 1)
