"""silu: y = x sigmoid(x)."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..pointwise import Activation, ActivationBackward
from ..tensor import Tensor


class Silu(Activation):
    """y = x / (1 + e^-x), also called swish (Elfwing et al., 2018)."""

    name = "silu"

    def compute(self, xp: Any, x: Any) -> Any:
        return x / (1 + xp.exp(-x))

    def reference(self, x: Any) -> Any:
        with np.errstate(all="ignore"):
            return x / (1 + np.exp(-x))


class SiluBackward(ActivationBackward):
    """gx = g s (1 + x (1 - s)) with s = sigmoid(x)."""

    name = "silu_backward"
    group = "silu"

    def slope(self, x: Tensor) -> Tensor:
        s = x.sigmoid()
        return s * (x * (1.0 - s) + 1.0)
