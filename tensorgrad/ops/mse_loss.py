"""mse_loss: the mean of squared differences."""
from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .shared.losses import PairLoss


class MseLoss(PairLoss):
    """(input - target)^2, its mean or sum; with `weight`, the weighted mean.

    Unlike PyTorch, which warns and broadcasts, refuses shapes that differ (ValueError)."""

    name = "mse_loss"
    autocast = ("float32", "float32")

    def distance(self, difference: Tensor) -> Tensor:
        return difference.square()

    def reference_distance(self, difference: Any) -> Any:
        return difference**2
