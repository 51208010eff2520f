"""mse_loss: the mean of squared differences."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor
from .shared.losses import check_reduction, pair_cases, reduce_loss, reference_reduce, same_shape


class MseLoss(Op):
    """(input - target)^2, its mean or sum; with `weight`, the weighted mean.

    Unlike PyTorch, which warns and broadcasts, refuses shapes that differ (ValueError)."""

    name = "mse_loss"
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
                weight: Tensor | None = None) -> Tensor:
        how = check_reduction("mse_loss", reduction, size_average, reduce)
        same_shape("mse_loss", input, target)
        loss = (input - target).square()
        if weight is None:
            return reduce_loss("mse_loss", loss, how)
        same_shape("mse_loss", input, weight, "weight")
        loss = loss * weight
        return loss.sum() / weight.sum() if how == "mean" else reduce_loss("mse_loss", loss, how)

    def reference(self, x: Any, y: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean", weight: Any = None) -> Any:
        loss = (x - y) ** 2 * (1 if weight is None else weight)
        return loss.sum() / weight.sum() if weight is not None and reduction == "mean" else reference_reduce(loss, reduction)

    def cases(self) -> Iterable[Case]:
        yield from pair_cases(self.name)
        for reduction in ("mean", "none"):
            yield Case(T(3, 4), T(3, 4), weight=T(3, 4, low=0.5), reduction=reduction)
        yield Case(T(3), T(3), weight=T(4), error=(ValueError, "mse_loss: input has shape (3,) but weight (4,)"))
