"""l1_loss: the mean of absolute differences."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor
from .shared.losses import check_reduction, pair_cases, reduce_loss, reference_reduce, same_shape


class L1Loss(Op):
    """|input - target|, its mean or sum; with `weight`, the weighted mean.

    Unlike PyTorch, which warns and broadcasts, refuses shapes that differ (ValueError)."""

    name = "l1_loss"
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
                weight: Tensor | None = None) -> Tensor:
        how = check_reduction("l1_loss", reduction, size_average, reduce)
        same_shape("l1_loss", input, target)
        loss = (input - target).abs()
        if weight is None:
            return reduce_loss("l1_loss", loss, how)
        same_shape("l1_loss", input, weight, "weight")
        loss = loss * weight
        return loss.sum() / weight.sum() if how == "mean" else reduce_loss("l1_loss", loss, how)

    def reference(self, x: Any, y: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean", weight: Any = None) -> Any:
        loss = abs(x - y) * (1 if weight is None else weight)
        return loss.sum() / weight.sum() if weight is not None and reduction == "mean" else reference_reduce(loss, reduction)

    def cases(self) -> Iterable[Case]:
        yield from pair_cases(self.name)
        yield Case(T(3, 4), T(3, 4), weight=T(3, 4, low=0.5))
