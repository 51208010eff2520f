"""amin: the smallest element over some dimensions."""
from __future__ import annotations

from .shared.reduction import EvenExtremum


class Amin(EvenExtremum):
    """The smallest element over `dim` (one, several, or all of them); NaN wins. Equal ones share the gradient evenly."""

    name = "amin"
