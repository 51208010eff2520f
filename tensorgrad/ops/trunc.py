"""trunc: y = x without its fraction."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..pointwise import Rounding


class Trunc(Rounding):
    """y = x rounded towards zero. The gradient is zero."""

    name = "trunc"
    aliases = ("fix",)
    ufunc = "trunc"

    def reference(self, x: Any) -> Any:
        return np.where(x < 0, np.ceil(x), np.floor(x))
