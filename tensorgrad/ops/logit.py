"""logit: the inverse of the sigmoid."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Logit(Op):
    """y = ln(x / (1 - x)), x clamped to [eps, 1 - eps] where `eps` is given; NaN outside of [0, 1] otherwise."""

    name = "logit"
    autocast = ("", "widest")
    places = ("special.logit",)
    composite = True
    inplace = True

    def forward(self, input: Tensor, eps: float | None = None) -> Tensor:
        x = input if input.dtype.is_floating_point else input.float()
        if eps is not None:
            x = fn.clamp(x, eps, 1 - eps)
        return fn.log(x / (1 - x))

    def reference(self, x: Any, eps: float | None = None) -> Any:
        x = x if eps is None else np.clip(x, eps, 1 - eps)
        return np.log(x / (1 - x))

    def cases(self) -> Iterable[Case]:
        near: dict[str, Any] = {"low": 0.1, "high": 0.9}
        yield from (Case(T(7, **near)), Case(T(3, 5, **near), 1e-3), Case(T(0)), Case(T(**near)), Case(T(6, distinct=True), eps=0.2))
