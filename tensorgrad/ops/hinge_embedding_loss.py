"""hinge_embedding_loss: pull together or push apart by the sign of the label."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.losses import check_reduction, reduce_loss, reference_reduce, same_shape


class HingeEmbeddingLoss(Op):
    """input where target is 1, max(0, margin - input) where it is -1; its mean or sum.

    ValueError for shapes that differ."""

    name = "hinge_embedding_loss"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, margin: float = 1.0, size_average: bool | None = None, reduce: bool | None = None,
                reduction: str = "mean") -> Tensor:
        how = check_reduction("hinge_embedding_loss", reduction, size_average, reduce)
        same_shape("hinge_embedding_loss", input, target)
        apart = fn.where(target != 1, (margin - input).clamp(min=0.0), 0.0)
        return reduce_loss("hinge_embedding_loss", apart + fn.where(target != -1, input, 0.0), how)

    def reference(self, x: Any, y: Any, margin: float = 1.0, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> Any:
        return reference_reduce(np.where(y != 1, np.maximum(0, margin - x), 0) + np.where(y != -1, x, 0), reduction)

    def cases(self) -> Iterable[Case]:
        for reduction in ("mean", "sum", "none"):
            yield Case(T(2, 4), T(values=[[1.0, -1.0, 1.0, -1.0]] * 2, grad=False), margin=0.7, reduction=reduction)
        yield Case(T(4), T(3), error=(ValueError, "hinge_embedding_loss: input has shape (4,) but target (3,): dim 0 is 4 against 3"))
