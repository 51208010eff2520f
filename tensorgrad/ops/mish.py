"""mish: y = x tanh(softplus(x))."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..op import fn
from ..pointwise import Activation, ActivationBackward
from ..tensor import Tensor


class Mish(Activation):
    """y = x tanh(ln(1 + e^x)) (Misra, 2019)."""

    name = "mish"

    def compute(self, xp: Any, x: Any) -> Any:
        return x * xp.tanh(xp.logaddexp(x, x.dtype.type(0)))

    def reference(self, x: Any) -> Any:
        with np.errstate(all="ignore"):
            return x * np.tanh(np.logaddexp(x, 0))


class MishBackward(ActivationBackward):
    """gx = g (t + x (1 - t^2) sigmoid(x)) with t = tanh(softplus(x))."""

    name = "mish_backward"
    group = "mish"

    def slope(self, x: Tensor) -> Tensor:
        t = fn.softplus(x).tanh()
        return t + x * (1.0 - t * t) * x.sigmoid()
