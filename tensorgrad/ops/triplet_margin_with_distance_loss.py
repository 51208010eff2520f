"""triplet_margin_with_distance_loss: triplet_margin_loss with a distance of the caller's."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.losses import check_reduction, reduce_loss, reference_reduce


class Squared:
    """The squared distance, with a name that tests can print."""

    def __call__(self, x: Any, y: Any) -> Any:
        return ((x - y) * (x - y)).sum(-1)

    def __repr__(self) -> str:
        return "squared"


class TripletMarginWithDistanceLoss(Op):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with d = `distance_function` (pairwise_distance for None).

    `swap` takes the positive's distance to the negative where that is smaller. ValueError for margin <= 0.
    """

    name = "triplet_margin_with_distance_loss"
    autocast = ("", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor, *,
                distance_function: Callable[[Tensor, Tensor], Tensor] | None = None, margin: float = 1.0, swap: bool = False,
                reduction: str = "mean") -> Tensor:
        how = check_reduction(self.name, reduction)
        if not margin > 0:
            raise ValueError(f"{self.name}: margin must be above 0, got {margin}")
        distance = fn.pairwise_distance if distance_function is None else distance_function
        near, far = distance(anchor, positive), distance(anchor, negative)
        if swap:
            far = fn.minimum(far, distance(positive, negative))
        return reduce_loss(self.name, (near - far + margin).clamp(min=0.0), how)

    def reference(self, a: Any, b: Any, c: Any, distance_function: Any = None, margin: float = 1.0, swap: bool = False,
                  reduction: str = "mean") -> Any:
        def euclidean(x: Any, y: Any) -> Any:
            return np.linalg.norm(x - y + 1e-6, axis=-1)

        distance = distance_function or euclidean
        far = np.minimum(distance(a, c), distance(b, c)) if swap else distance(a, c)
        return reference_reduce(np.maximum(0, distance(a, b) - far + margin), reduction)

    def cases(self) -> Iterable[Case]:
        x = T(4, 5), T(4, 5), T(4, 5)
        yield from (Case(*x), Case(*x, margin=0.5, swap=True, reduction="sum"), Case(*x, distance_function=Squared(), reduction="none"))
        yield Case(*x, margin=-1.0, error=(ValueError, "margin must be above 0"))
