"""binary_cross_entropy_with_logits: the sigmoid and binary cross-entropy in one, exact for large scores."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.losses import check_reduction, pair_cases, reduce_loss, reference_reduce, same_shape


class BinaryCrossEntropyWithLogits(Op):
    """-(w y ln s(x) + (1 - y) ln(1 - s(x))) for scores x = input, y = target, the sigmoid s and w = `pos_weight`, times `weight`.

    Its mean or sum. ValueError for shapes that differ. pos_weight and weight broadcast."""

    name = "binary_cross_entropy_with_logits"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
                reduce: bool | None = None, reduction: str = "mean", pos_weight: Tensor | None = None) -> Tensor:
        how = check_reduction("binary_cross_entropy_with_logits", reduction, size_average, reduce)
        same_shape("binary_cross_entropy_with_logits", input, target)
        yes = fn.logsigmoid(input)
        if pos_weight is not None:
            yes = ((pos_weight - 1) * target + 1) * yes
        loss = (1 - target) * input - yes
        if weight is not None:
            loss = loss * weight
        return reduce_loss("binary_cross_entropy_with_logits", loss, how)

    def reference(self, x: Any, y: Any, weight: Any = None, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
                  pos_weight: Any = None) -> Any:
        loss = (1 if pos_weight is None else pos_weight) * y * np.logaddexp(0, -x) + (1 - y) * np.logaddexp(0, x)
        return reference_reduce(loss * (1 if weight is None else weight), reduction)

    def cases(self) -> Iterable[Case]:
        y = {"low": 0, "high": 1}
        yield from pair_cases(self.name, target=y, weight=T(4, grad=False))
        yield from pair_cases(self.name, target=y, pos_weight=T(4, low=0.5, grad=False))
        yield Case(T(values=[-800.0, 0.0, 800.0], grad=False), T(values=[1.0, 0.0, 1.0], grad=False), reduction="none")
