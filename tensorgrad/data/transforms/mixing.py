"""Batches in which two items are mixed, labels too: call them with a batch, or in the loader's `collate_fn`."""
from __future__ import annotations

import math
from typing import Any

from ... import dtypes
from ...op import fn
from ...tensor import Tensor
from . import draw
from .compose import Transform


class _Mix(Transform):
    """The share lambda of Beta(alpha, alpha) of each picture stays; the rest is of the next one in the batch."""

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None):
        if not alpha > 0:
            raise ValueError(f"{type(self).__name__}: alpha must be above 0, got {alpha!r}")
        self.alpha, self.num_classes = alpha, num_classes

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        who = type(self).__name__
        if x.ndim < 2 or len(x) != len(y):
            raise ValueError(f"{who}: a batch of pictures and as many labels are expected, got {tuple(x.shape)} and {tuple(y.shape)}")
        if not x.dtype.is_floating_point:
            raise TypeError(f"{who}: floating-point pictures are expected, not {x.dtype.name}")
        if y.ndim == 1:
            if self.num_classes is None or y.dtype.is_floating_point:
                raise ValueError(f"{who}: labels that are numbers of classes must be integers and need num_classes")
            y = fn.one_hot(y.to(dtypes.int64), self.num_classes).to(x.dtype)  # (N, classes)
        elif y.ndim != 2 or not y.dtype.is_floating_point:
            raise ValueError(f"{who}: labels must be (N,), the numbers of classes, or (N, classes), their shares; got {tuple(y.shape)}")
        share = float(draw.numpy().beta(self.alpha, self.alpha))
        mixed, share = self._mix(x, fn.roll(x, 1, 0), share)
        return mixed, share * y + (1 - share) * fn.roll(y, 1, 0)

    def _mix(self, x: Tensor, other: Tensor, share: float) -> tuple[Tensor, float]:
        raise NotImplementedError


class MixUp(_Mix):
    """lambda x[i] + (1 - lambda) x[i-1], labels alike. Zhang et al., "mixup: beyond empirical risk minimization", 2018.

    `mix(x, y)`: (N, ...) and (N,) or (N, classes) give (N, ...) and (N, classes); `cross_entropy` takes such labels.
    """

    def _mix(self, x: Tensor, other: Tensor, share: float) -> tuple[Tensor, float]:
        return share * x + (1 - share) * other, share


class CutMix(_Mix):
    """A rectangle of the share 1 - lambda of the area is the next picture's, labels as the areas. Yun et al., "CutMix", 2019.

    `mix(x, y)`: (N, ..., H, W) and (N,) or (N, classes) give (N, ..., H, W) and (N, classes).
    """

    def _mix(self, x: Tensor, other: Tensor, share: float) -> tuple[Tensor, float]:
        height, width = x.shape[-2:]
        side = 0.5 * math.sqrt(1 - share)
        row, column = draw.integer(0, height), draw.integer(0, width)
        top, bottom = max(row - int(side * height), 0), min(row + int(side * height), height)
        left, right = max(column - int(side * width), 0), min(column + int(side * width), width)
        mixed: Any = x.clone()
        mixed[..., top:bottom, left:right] = other[..., top:bottom, left:right]
        return mixed, 1 - (bottom - top) * (right - left) / (height * width)
