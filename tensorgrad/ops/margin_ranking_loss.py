"""margin_ranking_loss: the first should rank above the second where the label is 1, below where it is -1."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor
from .shared.losses import check_reduction, reduce_loss, reference_reduce


class MarginRankingLoss(Op):
    """max(0, -target (input1 - input2) + margin); its mean or sum. RuntimeError unless the number of dimensions is the same."""

    name = "margin_ranking_loss"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: bool | None = None,
                reduce: bool | None = None, reduction: str = "mean") -> Tensor:
        how = check_reduction("margin_ranking_loss", reduction, size_average, reduce)
        if not input1.ndim == input2.ndim == target.ndim:
            raise RuntimeError(f"margin_ranking_loss: input1 {tuple(input1.shape)}, input2 {tuple(input2.shape)} and target "
                               f"{tuple(target.shape)} must have the same number of dimensions")
        return reduce_loss("margin_ranking_loss", (target * (input2 - input1) + margin).clamp(min=0.0), how)

    def reference(self, a: Any, b: Any, y: Any, margin: float = 0, size_average: Any = None, reduce: Any = None,
                  reduction: str = "mean") -> Any:
        return reference_reduce(np.maximum(0, -y * (a - b) + margin), reduction)

    def cases(self) -> Iterable[Case]:
        for reduction in ("mean", "sum", "none"):
            yield Case(T(5), T(5), T(values=[1.0, -1.0, 1.0, -1.0, 1.0], grad=False), margin=0.3, reduction=reduction)
        yield Case(T(5), T(5), T(5, 1), error=(RuntimeError, "margin_ranking_loss: input1 (5,), input2 (5,) and target (5, 1)"))
