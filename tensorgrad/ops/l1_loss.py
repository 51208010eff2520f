"""l1_loss: the mean of absolute differences."""
from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .shared.losses import PairLoss


class L1Loss(PairLoss):
    """|input - target|, its mean or sum; with `weight`, the weighted mean.

    Unlike PyTorch, which warns and broadcasts, refuses shapes that differ (ValueError)."""

    name = "l1_loss"
    autocast = ("float32", "float32")

    def distance(self, difference: Tensor) -> Tensor:
        return difference.abs()

    def reference_distance(self, difference: Any) -> Any:
        return abs(difference)
