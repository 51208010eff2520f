"""nll_loss: the negative log-likelihood of the right classes, from log-probabilities."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .cross_entropy import labelled
from .shared.losses import check_class_weight, check_labels, check_reduction, label_weights, mean_over


class NllLoss(Op):
    """-w_t x_t at each position, for log-probabilities (C), (N, C) or (N, C, d1, ...) and labels t of that shape without C.

    "mean" divides by the sum of the weights w_t over the labels that are not `ignore_index`. Errors as in cross_entropy.
    """

    name = "nll_loss"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
                ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
        reduction = check_reduction("nll_loss", reduction, size_average, reduce)
        check_class_weight("nll_loss", input, weight)
        t = check_labels("nll_loss", input, target, ignore_index)
        xp = input.device.backend.xp
        w = label_weights(xp, t, weight, ignore_index, np.float64 if input.array.dtype == np.float64 else np.float32)
        scale: Any = None if reduction == "none" else 1.0
        if reduction == "mean":
            scale = mean_over(xp, 1.0, w.sum(dtype=np.float64))
        return fn.nll_pick(input, wrap(t, input.device), wrap(-w, input.device), scale)

    def reference(self, x: Any, target: Any, weight: Any = None, size_average: Any = None, ignore_index: int = -100, reduce: Any = None,
                  reduction: str = "mean") -> Any:
        at = 0 if x.ndim == 1 else 1
        kept = np.asarray(target != ignore_index)
        t = np.where(kept, target, 0)
        w = (np.ones(x.shape[at]) if weight is None else weight)[t] * kept
        loss = -w * np.take_along_axis(np.moveaxis(x, at, -1), t[..., None], -1)[..., 0]
        if reduction == "mean":
            return loss.sum() / w.sum() if w.sum() else np.float64("nan")
        return loss if reduction == "none" else loss.sum()

    def cases(self) -> Iterable[Case]:
        return labelled(self.name)


def _column(xp: Any, t: Any, factor: Any, at: int) -> Any:
    """Labels as an index along the class dimension; where the factor is 0 the label may be anything and becomes class 0."""
    return xp.expand_dims(xp.where(factor == 0, 0, t), at)


def scaled(scale: Any, g: Tensor) -> Any:
    """The scale of a mean beside a gradient: a number, or one that the device holds."""
    return scale if isinstance(scale, float) else wrap(scale.astype(g.array.dtype), g.device)


class NllPick(Op):
    """factor * input[label] at each position; with a `scale`, the sum of these times the scale, rounded once."""

    name = "nll_pick"
    function = method = False
    tested_in = "tests/test_ops.py"  # by way of nll_loss

    def forward(self, ctx: Node, input: Tensor, target: Tensor, factor: Tensor, scale: Any = None) -> Tensor:
        x, f, xp = input.array, factor.array, input.device.backend.xp
        at = min(1, x.ndim - 1)
        ctx.target, ctx.factor, ctx.shape, ctx.scale = target, factor, x.shape, scale
        picked = xp.take_along_axis(x, _column(xp, target.array, f, at), at).squeeze(at)
        loss = xp.where(f == 0, f.dtype.type(0), picked * f)
        out = loss if scale is None else xp.asarray(loss.sum(dtype=np.float64) * scale)
        return wrap(out.astype(x.dtype, copy=False), input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        per_position = (g if ctx.scale is None else g * scaled(ctx.scale, g)) * ctx.factor.to(g.dtype)
        return fn.nll_place(per_position, ctx.target, ctx.factor, ctx.shape), None, None


class NllPlace(Op):
    """The values of `input` at the labels, zeros elsewhere: the transpose of picking."""

    name = "nll_place"
    function = method = False
    tested_in = "tests/test_ops.py"  # by way of nll_loss

    def forward(self, ctx: Node, input: Tensor, target: Tensor, factor: Tensor, shape: Any) -> Tensor:
        g, f, xp = input.array, factor.array, input.device.backend.xp
        at = min(1, len(shape) - 1)
        out = xp.zeros(shape, g.dtype)
        xp.put_along_axis(out, _column(xp, target.array, f, at), xp.expand_dims(xp.where(f == 0, g.dtype.type(0), g), at), at)
        ctx.target, ctx.ones = target, wrap((f != 0).astype(f.dtype), input.device)
        return wrap(out, input.device)

    def backward(self, ctx: Node, u: Tensor) -> tuple:
        return fn.nll_pick(u, ctx.target, ctx.ones), None, None
