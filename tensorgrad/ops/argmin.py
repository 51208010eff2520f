"""argmin: where the smallest element is."""
from __future__ import annotations

from .shared.reduction import Place


class Argmin(Place):
    """The index of the smallest element along `dim`, or in the flattened tensor; of equal ones the first, NaN before all."""

    name = "argmin"
