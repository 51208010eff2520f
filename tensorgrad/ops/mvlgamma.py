"""mvlgamma: the logarithm of the multivariate gamma function."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Mvlgamma(Op):
    """y = p (p - 1) / 4 ln(pi) + the sum over j < p of lgamma(x - j / 2)."""

    name = "mvlgamma"
    places = ("special.multigammaln",)
    composite = True
    inplace = True

    def forward(self, input: Tensor, p: int) -> Tensor:
        if p < 1:
            raise RuntimeError(f"mvlgamma: p must be at least 1, got {p}")
        x = input if input.dtype.is_floating_point else input.float()
        y = fn.lgamma(x) + p * (p - 1) / 4 * math.log(math.pi)
        for j in range(1, p):
            y = y + fn.lgamma(x - j / 2)
        return y

    def reference(self, x: Any, p: int) -> Any:
        terms = sum(np.vectorize(math.lgamma, otypes=[np.float64])(x - j / 2) for j in range(p))
        return p * (p - 1) / 4 * math.log(math.pi) + terms

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7, low=3.0, high=6.0), p) for p in (1, 3, 5))
        yield Case(T(3), 0, error=(RuntimeError, "mvlgamma: p must be at least 1, got 0"))
