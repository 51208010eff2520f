"""smooth_l1_loss: quadratic near zero, linear far from it."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.losses import check_reduction, pair_cases, reduce_loss, reference_reduce, same_shape


class SmoothL1Loss(Op):
    """z^2 / (2 beta) where |z| < beta, else |z| - beta / 2, for z = input - target; its mean or sum.

    Refuses shapes that differ and a negative beta (ValueError, RuntimeError). Girshick, "Fast R-CNN", ICCV 2015."""

    name = "smooth_l1_loss"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
                beta: float = 1.0) -> Tensor:
        how = check_reduction("smooth_l1_loss", reduction, size_average, reduce)
        same_shape("smooth_l1_loss", input, target)
        if not beta >= 0:
            raise RuntimeError(f"smooth_l1_loss: beta must not be negative, got {beta}")
        z = input - target
        far = z.abs()
        loss = fn.where(far < beta, z.square() * (0.5 / beta), far - 0.5 * beta) if beta else far
        return reduce_loss("smooth_l1_loss", loss, how)

    def reference(self, x: Any, y: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean", beta: float = 1.0) -> Any:
        z = abs(x - y)
        return reference_reduce(np.where(z < beta, z**2 / (2 * beta), z - beta / 2) if beta else z, reduction)

    def cases(self) -> Iterable[Case]:
        yield from pair_cases(self.name, beta=0.3)
        yield Case(T(7), T(7), beta=0.0)
        yield Case(T(7), T(7), beta=-1.0, error=(RuntimeError, "beta must not be negative"))
