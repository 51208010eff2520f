"""triplet_margin_loss: the anchor should be nearer to the positive than to the negative example."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.losses import check_reduction, reduce_loss, reference_reduce


class TripletMarginLoss(Op):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with the distance d of pairwise_distance; its mean or sum.

    `swap` takes the positive's distance to the negative where that is smaller. ValueError for margin <= 0.
    Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional neural networks", BMVC 2016."""

    name = "triplet_margin_loss"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2, eps: float = 1e-6,
                swap: bool = False, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
        how = check_reduction("triplet_margin_loss", reduction, size_average, reduce)
        if not margin > 0:
            raise ValueError(f"triplet_margin_loss: margin must be above 0, got {margin}")
        if not anchor.ndim == positive.ndim == negative.ndim:
            raise RuntimeError(f"triplet_margin_loss: anchor {tuple(anchor.shape)}, positive {tuple(positive.shape)} and negative "
                               f"{tuple(negative.shape)} must have the same number of dimensions")
        near, far = fn.pairwise_distance(anchor, positive, p, eps), fn.pairwise_distance(anchor, negative, p, eps)
        if swap:
            far = fn.minimum(far, fn.pairwise_distance(positive, negative, p, eps))
        return reduce_loss("triplet_margin_loss", (near - far + margin).clamp(min=0.0), how)

    def reference(self, a: Any, b: Any, c: Any, margin: float = 1.0, p: float = 2, eps: float = 1e-6, swap: bool = False,
                  size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> Any:
        def distance(x: Any, y: Any) -> Any:
            return np.linalg.norm(x - y + eps, p, axis=-1)

        far = np.minimum(distance(a, c), distance(b, c)) if swap else distance(a, c)
        return reference_reduce(np.maximum(0, distance(a, b) - far + margin), reduction)

    def cases(self) -> Iterable[Case]:
        for reduction in ("mean", "sum", "none"):
            yield Case(T(4, 5), T(4, 5), T(4, 5), reduction=reduction)
        yield from (Case(T(4, 5), T(4, 5), T(4, 5), 2.0, 1, swap=True), Case(T(5), T(5), T(5)))
        yield Case(T(5), T(5), T(5), margin=0.0, error=(ValueError, "triplet_margin_loss: margin must be above 0, got 0.0"))
