"""multi_margin_loss: the right class should win by a margin."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.losses import check_class_weight, check_labels, check_reduction, reduce_loss, reference_reduce


class MultiMarginLoss(Op):
    """sum over c != t of w_t max(0, margin - x_t + x_c)^p / C for scores (N, C) or (C), labels t, class weights w and p = 1 or 2.

    Its mean or sum. Labels are checked as in cross_entropy; ValueError for another p."""

    name = "multi_margin_loss"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None,
                size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
        how = check_reduction("multi_margin_loss", reduction, size_average, reduce)
        if p not in (1, 2):
            raise ValueError(f"multi_margin_loss: p must be 1 or 2, got {p}")
        if input.ndim > 2:
            raise RuntimeError(f"multi_margin_loss: expected scores (C) or (N, C), got shape {tuple(input.shape)}")
        if input.ndim == 0:
            input = input.reshape(1)
        if input.ndim == 1 and tuple(target.shape) == (1,):
            target = target.reshape(())
        check_class_weight("multi_margin_loss", input, weight)
        t = check_labels("multi_margin_loss", input, target, -1)
        if not input.device.backend.capturing() and (t < 0).any():
            raise IndexError("multi_margin_loss: target holds a negative class")
        labels = wrap(t, input.device).unsqueeze(-1)
        z = (input - input.gather(-1, labels) + margin).clamp(min=0.0)
        z = z.square() if p == 2 else z
        if weight is not None:
            z = z * weight[wrap(t, input.device)].unsqueeze(-1)
        own = labels == wrap(input.device.backend.xp.arange(input.shape[-1]), input.device)
        return reduce_loss("multi_margin_loss", fn.where(own, 0.0, z).mean(-1), how)

    def reference(self, x: Any, t: Any, p: int = 1, margin: float = 1.0, weight: Any = None, size_average: Any = None, reduce: Any = None,
                  reduction: str = "mean") -> Any:
        z = np.maximum(0, margin - np.take_along_axis(x, t[..., None], -1) + x) ** p * (1 if weight is None else weight[t][..., None])
        return reference_reduce(np.where(np.arange(x.shape[-1]) == t[..., None], 0, z).mean(axis=-1), reduction)

    def cases(self) -> Iterable[Case]:
        t = T(4, dtype="int64", low=0, high=5)
        for reduction in ("mean", "sum", "none"):
            yield Case(T(4, 5), t, reduction=reduction)
        yield from (Case(T(4, 5), t, 2, 0.5, T(5, low=0.5, grad=False)), Case(T(5), T(dtype="int64", low=0, high=5)))
        yield Case(T(4, 5), t, p=3, error=(ValueError, "multi_margin_loss: p must be 1 or 2, got 3"))
        yield Case(T(2, 5), T(values=[0, 9], dtype="int64"), error=(IndexError, "multi_margin_loss: target at position (1,) is class 9"))
