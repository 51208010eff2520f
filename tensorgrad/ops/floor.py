"""floor: y = the largest integer not above x."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..pointwise import Rounding


class Floor(Rounding):
    """y = x rounded down. The gradient is zero."""

    name = "floor"
    ufunc = "floor"

    def reference(self, x: Any) -> Any:
        return np.floor(x)
