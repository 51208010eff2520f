"""poisson_nll_loss: the negative log-likelihood under Poisson distributions."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.losses import check_reduction, pair_cases, reduce_loss, reference_reduce, same_shape


class PoissonNllLoss(Op):
    """exp(input) - target input, or without `log_input` input - target ln(input + eps); its mean or sum.

    `full` adds Stirling's target ln target - target + ln(2 pi target) / 2 where target > 1. ValueError for shapes that differ."""

    name = "poisson_nll_loss"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, log_input: bool = True, full: bool = False, size_average: bool | None = None,
                eps: float = 1e-8, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
        how = check_reduction("poisson_nll_loss", reduction, size_average, reduce)
        same_shape("poisson_nll_loss", input, target)
        loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
        if full:
            large = fn.where(target > 1, target, 1.0)
            loss = loss + fn.where(target > 1, large * large.log() - large + (large * (2 * np.pi)).log() * 0.5, 0.0)
        return reduce_loss("poisson_nll_loss", loss, how)

    def reference(self, x: Any, y: Any, log_input: bool = True, full: bool = False, size_average: Any = None, eps: float = 1e-8,
                  reduce: Any = None, reduction: str = "mean") -> Any:
        loss = np.exp(x) - y * x if log_input else x - y * np.log(x + eps)
        large = np.where(y > 1, y, 1)
        stirling = np.where(y > 1, large * np.log(large) - large + np.log(2 * np.pi * large) / 2, 0)
        return reference_reduce(loss + (stirling if full else 0), reduction)

    def cases(self) -> Iterable[Case]:
        yield from pair_cases(self.name, {"low": 1}, {"low": 0, "high": 2}, log_input=False)
        yield Case(T(3, 4), T(3, 4, low=0, high=5, grad=False), full=True)
