"""ceil: y = the smallest integer not below x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..pointwise import Rounding


class Ceil(Rounding):
    """y = x rounded up. The gradient is zero."""

    name = "ceil"
    ufunc = "ceil"

    def reference(self, x: Any) -> Any:
        return np.ceil(x)
