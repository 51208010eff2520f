"""cosine_embedding_loss: pull together or push apart by angle and label."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.losses import check_reduction, reduce_loss, reference_reduce


class CosineEmbeddingLoss(Op):
    """1 - cos(input1, input2) where target is 1, max(0, cos - margin) where it is -1; its mean or sum.

    Inputs (N, D) with target (N), or (D) with a target without dimensions; RuntimeError otherwise."""

    name = "cosine_embedding_loss"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: bool | None = None,
                reduce: bool | None = None, reduction: str = "mean") -> Tensor:
        how = check_reduction("cosine_embedding_loss", reduction, size_average, reduce)
        if target.ndim > 1 or input1.ndim != target.ndim + 1 or input2.ndim != target.ndim + 1:
            raise RuntimeError(f"cosine_embedding_loss: target {tuple(target.shape)} goes with inputs of one dimension more, at most two; "
                               f"they have the shapes {tuple(input1.shape)} and {tuple(input2.shape)}")
        squares = [x.square().sum(-1) + 1e-12 for x in (input1, input2)]
        cosine = (input1 * input2).sum(-1) / (squares[0] * squares[1]).sqrt()
        loss = fn.where(target == 1, 1 - cosine, 0.0) + fn.where(target == -1, (cosine - margin).clamp(min=0.0), 0.0)
        return reduce_loss("cosine_embedding_loss", loss, how)

    def reference(self, a: Any, b: Any, y: Any, margin: float = 0, size_average: Any = None, reduce: Any = None,
                  reduction: str = "mean") -> Any:
        cosine = (a * b).sum(-1) / np.sqrt(((a * a).sum(-1) + 1e-12) * ((b * b).sum(-1) + 1e-12))
        return reference_reduce(np.where(y == 1, 1 - cosine, np.where(y == -1, np.maximum(0, cosine - margin), 0)), reduction)

    def cases(self) -> Iterable[Case]:
        for reduction in ("mean", "sum", "none"):
            yield Case(T(4, 5), T(4, 5), T(values=[1, -1, 1, -1], dtype="int64"), 0.1, reduction=reduction)
        yield Case(T(5, low=0.5), T(5, low=0.5), T(values=-1, dtype="int64"))
        yield Case(T(4, 5), T(4, 5), T(4, 5), error=(RuntimeError, "cosine_embedding_loss: target (4, 5) goes with"))
