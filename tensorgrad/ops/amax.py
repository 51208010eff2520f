"""amax: the largest element over some dimensions."""
from __future__ import annotations

from .shared.reduction import EvenExtremum


class Amax(EvenExtremum):
    """The largest element over `dim` (one, several, or all of them); NaN wins. Equal ones share the gradient evenly."""

    name = "amax"
