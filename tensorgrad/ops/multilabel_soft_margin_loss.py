"""multilabel_soft_margin_loss: binary cross-entropy averaged over the classes."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.losses import check_reduction, reduce_loss, reference_reduce, same_shape


class MultilabelSoftMarginLoss(Op):
    """-mean_c (y_c ln s(x_c) + (1 - y_c) ln s(-x_c)) over the last dimension, times `weight` (C); its mean or sum.

    ValueError for shapes that differ."""

    name = "multilabel_soft_margin_loss"
    autocast = ("", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
                reduce: bool | None = None, reduction: str = "mean") -> Tensor:
        how = check_reduction("multilabel_soft_margin_loss", reduction, size_average, reduce)
        same_shape("multilabel_soft_margin_loss", input, target)
        loss = -(target * fn.logsigmoid(input) + (1 - target) * fn.logsigmoid(-input))
        if weight is not None:
            loss = loss * weight
        return reduce_loss("multilabel_soft_margin_loss", loss.mean(-1), how)

    def reference(self, x: Any, y: Any, weight: Any = None, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> Any:
        loss = (y * np.logaddexp(0, -x) + (1 - y) * np.logaddexp(0, x)) * (1 if weight is None else weight)
        return reference_reduce(loss.mean(axis=-1), reduction)

    def cases(self) -> Iterable[Case]:
        for reduction in ("mean", "sum", "none"):
            yield Case(T(3, 4), T(3, 4, low=0, high=1), T(4, low=0.5, grad=False), reduction=reduction)
        yield from (Case(T(4), T(4, low=0, high=1)), Case(T(2, 3, 4), T(2, 3, 4, low=0, high=1), reduction="none"))
        yield Case(T(3, 4), T(4, 3), torch=False, error=(ValueError, "input has shape (3, 4) but target (4, 3)"))
