"""soft_margin_loss: the logistic loss for labels 1 and -1."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case
from ..op import Op, fn
from ..tensor import Tensor
from .shared.losses import check_reduction, pair_cases, reduce_loss, reference_reduce, same_shape


class SoftMarginLoss(Op):
    """ln(1 + exp(-target input)); its mean or sum. ValueError for shapes that differ."""

    name = "soft_margin_loss"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
                reduction: str = "mean") -> Tensor:
        how = check_reduction("soft_margin_loss", reduction, size_average, reduce)
        same_shape("soft_margin_loss", input, target)
        return reduce_loss("soft_margin_loss", -fn.logsigmoid(target * input), how)

    def reference(self, x: Any, y: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> Any:
        return reference_reduce(np.logaddexp(0, -x * y), reduction)

    def cases(self) -> Iterable[Case]:
        yield from pair_cases(self.name, target={"grad": False})
