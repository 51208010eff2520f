"""argmax: where the largest element is."""
from __future__ import annotations

from .shared.reduction import Place


class Argmax(Place):
    """The index of the largest element along `dim`, or in the flattened tensor; of equal ones the first, NaN before all."""

    name = "argmax"
