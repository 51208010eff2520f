"""multilabel_margin_loss: each right class should win over each wrong one by a margin of 1."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.losses import check_reduction, reduce_loss, reference_reduce


class MultilabelMarginLoss(Op):
    """sum over right classes t and wrong classes c of max(0, 1 - x_t + x_c) / C, for scores (N, C) or (C); its mean or sum.

    `target`, int64 of input's shape, lists the right classes of each row, ended by the first -1.
    """

    name = "multilabel_margin_loss"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
                reduction: str = "mean") -> Tensor:
        how = check_reduction("multilabel_margin_loss", reduction, size_average, reduce)
        if input.ndim not in (1, 2) or tuple(input.shape) != tuple(target.shape):
            raise RuntimeError(f"multilabel_margin_loss: expected scores (C) or (N, C) and target of the same shape, got "
                               f"{tuple(input.shape)} and {tuple(target.shape)}")
        if target.dtype.name != "int64":
            raise RuntimeError(f"multilabel_margin_loss: target must be int64, it is {target.dtype.name}")
        t, classes, xp = target.array, input.shape[-1], input.device.backend.xp
        if t.size and not input.device.backend.capturing() and (t.min() < -1 or t.max() >= classes):
            raise RuntimeError(f"multilabel_margin_loss: target goes from {int(t.min())} to {int(t.max())}, it must lie in -1 to "
                               f"{classes - 1}")
        listed = xp.cumsum(t < 0, -1) == 0  # before the first -1
        wanted = xp.where(listed, t, 0)
        right = ((wanted[..., None] == xp.arange(classes)) & listed[..., None]).any(-2)
        winners = fn.gather(input, -1, wrap(wanted, input.device))
        z = (fn.unsqueeze(input, -2) - fn.unsqueeze(winners, -1) + 1).clamp(min=0.0)  # (N, listed, C)
        counts = wrap(listed[..., None] & ~right[..., None, :], input.device)
        return reduce_loss("multilabel_margin_loss", fn.where(counts, z, 0.0).sum((-1, -2)) * (1 / max(classes, 1)), how)

    def reference(self, x: Any, t: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> Any:
        losses = []
        for row, labels in zip(np.atleast_2d(x), np.atleast_2d(t), strict=True):
            right = list(labels[:list(labels).index(-1)] if -1 in labels else labels)
            wrong = [c for c in range(len(row)) if c not in right]
            losses.append(sum(max(0, 1 - row[a] + row[c]) for a in right for c in wrong) / len(row))
        return reference_reduce(np.array(losses) if x.ndim == 2 else np.array(losses[0]), reduction)

    def cases(self) -> Iterable[Case]:
        t = T(values=[[3, 0, -1, 1], [-1, 2, 2, 2], [1, 2, 3, 0]], dtype="int64")
        for reduction in ("mean", "sum", "none"):
            yield Case(T(3, 4), t, reduction=reduction)
        yield Case(T(4), T(values=[1, 3, -1, 0], dtype="int64"))
        yield Case(T(3, 4), T(3, 5, dtype="int64"), error=(RuntimeError, "multilabel_margin_loss: expected scores (C) or (N, C)"))
        yield Case(T(4), T(values=[1, 4, -1, 0], dtype="int64"), error=(RuntimeError, "target goes from -1 to 4, it must lie in -1 to 3"))
