"""kl_div: the Kullback-Leibler divergence."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.losses import check_reduction, pair_cases, reduce_loss, reference_reduce, same_shape


class KlDiv(Op):
    """y (ln y - input) for log-probabilities `input` and probabilities y = target (`log_target`: their logarithms).

    "batchmean" divides the sum by the batch size, as the definition has it; "mean" by the number of elements. Where y is 0 the term
    is 0. ValueError for shapes that differ."""

    name = "kl_div"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
                log_target: bool = False) -> Tensor:
        batchmean = reduction == "batchmean" and size_average is None and reduce is None
        how = "sum" if batchmean else check_reduction("kl_div", reduction, size_average, reduce)
        same_shape("kl_div", input, target)
        if log_target:
            loss = target.exp() * (target - input)
        else:
            some = target > 0
            loss = fn.where(some, target * fn.where(some, target, 1.0).log(), target * 0.0) - target * input
        out = reduce_loss("kl_div", loss, how)
        return out / input.shape[0] if batchmean and input.ndim else out

    def reference(self, x: Any, y: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
                  log_target: bool = False) -> Any:
        loss = np.exp(y) * (y - x) if log_target else y * (np.log(np.where(y > 0, y, 1)) - x)
        return loss.sum() / len(x) if reduction == "batchmean" else reference_reduce(loss, reduction)

    def cases(self) -> Iterable[Case]:
        yield from pair_cases(self.name, {"high": 0}, {"low": 0.1, "high": 1}, log_target=True)
        yield Case(T(3, 4, high=0), T(3, 4, low=0.1, high=1), reduction="batchmean")
        yield Case(T(3, high=0), T(values=[0.0, 1.0, 0.0], grad=False), reduction="sum")
