"""nextafter: the neighbour of a number."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..pointwise import Binary


class Nextafter(Binary):
    """z = the number of input's dtype that follows it on the way to `other`. There is no gradient."""

    name = "nextafter"
    ufunc = "nextafter"
    differentiable = False
    torch_number_first = False
    half = False  # the neighbour in float32 rounds back to the number itself
    numpy_types = "float32 float64"

    def reference(self, x: Any, y: Any) -> Any:
        return np.nextafter(x, y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, grad=False), T(5, grad=False)), Case(T(values=[0.0, 1.0, -1.0], grad=False), T(3, grad=False)))
