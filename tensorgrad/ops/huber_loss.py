"""huber_loss: quadratic near zero, linear far from it."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.losses import check_reduction, pair_cases, reduce_loss, reference_reduce, same_shape


class HuberLoss(Op):
    """z^2 / 2 where |z| <= delta, else delta (|z| - delta / 2), for z = input - target; times `weight`; its mean or sum.

    Refuses shapes that differ and delta <= 0 (ValueError, RuntimeError). Huber, "Robust estimation of a location parameter", 1964."""

    name = "huber_loss"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None) -> Tensor:
        check_reduction("huber_loss", reduction)
        same_shape("huber_loss", input, target)
        if not delta > 0:
            raise RuntimeError(f"huber_loss: delta must be above 0, got {delta}")
        z = input - target
        far = z.abs()
        loss = fn.where(far <= delta, z.square() * 0.5, far * delta - 0.5 * delta * delta)
        if weight is not None:
            same_shape("huber_loss", input, weight, "weight")
            loss = loss * weight
        return reduce_loss("huber_loss", loss, reduction)

    def reference(self, x: Any, y: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
        z = abs(x - y)
        loss = np.where(z <= delta, z**2 / 2, delta * (z - delta / 2)) * (1 if weight is None else weight)
        return reference_reduce(loss, reduction)

    def cases(self) -> Iterable[Case]:
        yield from pair_cases(self.name, delta=0.3)
        yield Case(T(7), T(7), weight=T(7))
        yield Case(T(7), T(7), delta=0.0, error=(RuntimeError, "delta must be above 0"))
