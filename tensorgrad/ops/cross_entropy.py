"""cross_entropy: -ln of the probability that softmax gives to the right class."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.losses import check_class_weight, check_reduction, reduce_loss, reference_reduce


class CrossEntropy(Op):
    """The cross-entropy of class scores against labels or against class probabilities.

    `input` holds scores (C), (N, C) or (N, C, d1, ...). `target` holds either class indices, of input's shape without C, or, as
    floats of input's shape, probabilities. With p = softmax(input), class weights w and smoothing s, a position costs
        labels t:  (1 - s) w_t (-ln p_t) + s / C sum_c w_c (-ln p_c)
        q:         sum_c w_c q'_c (-ln p_c),  q' = (1 - s) q + s / C
    "mean" divides by the sum of w_t over the labels that are not `ignore_index` (probabilities: by the number of positions).
    IndexError names the position and value of a label that is no class; TypeError those of a label that is no integer,
    ValueError (which PyTorch does not raise) that of a NaN probability.
    """

    name = "cross_entropy"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
                ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean", label_smoothing: float = 0.0) -> Tensor:
        reduction = check_reduction("cross_entropy", reduction, size_average, reduce)
        if not 0.0 <= label_smoothing <= 1.0:
            raise RuntimeError(f"cross_entropy: label_smoothing must be between 0 and 1, got {label_smoothing}")
        check_class_weight("cross_entropy", input, weight)
        if not (target.dtype.is_floating_point and target.array.shape == input.array.shape and target.array.ndim):
            return fn.cross_entropy_labels(input, target, weight, ignore_index, reduction, label_smoothing)
        if not input.device.backend.capturing() and bool((bad := target.array != target.array).any()):
            where = tuple(int(i) for i in np.argwhere(input.device.backend.to_numpy(bad))[0])
            raise ValueError(f"cross_entropy: target has the probability NaN at position {where} of shape {tuple(target.shape)}")
        at = 0 if input.ndim == 1 else 1
        if label_smoothing:
            target = target * (1 - label_smoothing) + label_smoothing / input.shape[at]
        loss = fn.log_softmax(input, at) * target
        if weight is not None:
            loss = loss * weight.reshape([-1] + [1] * (input.ndim - 1 - at))
        loss = loss.sum(at) * -1.0
        return reduce_loss("cross_entropy", loss, "none" if reduction == "none" else "sum") * (
            1.0 if reduction != "mean" else 1.0 / loss.numel() if loss.numel() else float("nan"))

    def reference(self, x: Any, target: Any, weight: Any = None, size_average: Any = None, ignore_index: int = -100, reduce: Any = None,
                  reduction: str = "mean", label_smoothing: float = 0.0) -> Any:
        at = 0 if x.ndim == 1 else 1
        classes = x.shape[at]
        shifted = x - x.max(axis=at, keepdims=True) if x.size else x
        nll = np.moveaxis(np.log(np.exp(shifted).sum(axis=at, keepdims=True)) - shifted, at, -1)  # (N, d1, ..., C)
        w = np.ones(classes) if weight is None else weight
        labels = target.dtype.kind in "iu"
        kept = np.asarray(target != ignore_index if labels else np.ones(nll.shape[:-1], bool))
        q = 1.0 * (np.arange(classes) == np.where(kept, target, 0)[..., None]) if labels else np.moveaxis(target, at, -1)
        loss = ((1 - label_smoothing) * q + label_smoothing / classes) * nll
        loss = (loss * (w if not labels or label_smoothing else (q * w).sum(-1, keepdims=True))).sum(-1) * kept
        if reduction == "mean" and labels:
            total = ((q * w).sum(-1) * kept).sum()
            return loss.sum() / total if total else np.float64("nan")
        return reference_reduce(loss, reduction)

    def cases(self) -> Iterable[Case]:
        yield from labelled(self.name, label_smoothing=0.2)
        for shape in ((5,), (4, 5), (2, 3, 4), (0, 3)):
            q = T(*shape, low=0, high=1)
            for reduction in ("mean", "sum", "none"):
                yield Case(T(*shape), q, reduction=reduction, smooth=0 not in shape)
            yield Case(T(*shape), q, T(shape[0 if len(shape) == 1 else 1], low=0.5, high=2, grad=False), label_smoothing=0.1,
                       smooth=0 not in shape)
        nan = float("nan")
        yield Case(T(2, 3), T(values=[[0.0, 1.0, 0.0], [nan, 0.0, 1.0]]), torch=False,
                   error=(ValueError, "probability NaN at position (1, 0)"))
        yield Case(T(2, 3), T(2, dtype="int64", low=0, high=3), label_smoothing=2.0, error=(RuntimeError, "between 0 and 1, got 2.0"))


def labelled(name: str, **options: Any) -> Iterable[Case]:
    """Sample calls with class labels, good and bad; `options` are tried besides the defaults."""
    for shape in ((5,), (1, 1), (4, 5), (0, 3), (7, 67), (2, 3, 4), (2, 5, 3, 37), (3, 4, 0)):
        classes = shape[0 if len(shape) == 1 else 1]
        labels = T(*(shape[:1] + shape[2:] if len(shape) > 1 else ()), dtype="int64", low=0, high=classes)
        w = T(classes, low=0.5, high=2, grad=False)
        empty = 0 in labels.shape  # the mean of nothing is NaN, which has no derivatives to check
        ignored = 1 if len(labels.shape) > 1 else -100
        for reduction in ("mean", "sum", "none"):
            yield Case(T(*shape), labels, w, reduction=reduction, ignore_index=ignored, smooth=not empty)
        yield Case(T(*shape), labels, smooth=not empty)
        if options:
            yield Case(T(*shape), labels, w, ignore_index=ignored, smooth=not empty, **options)
            yield Case(T(*shape), labels, reduction="sum", **options)
    yield Case(T(3, 4, grad=False), T(values=[2, 2, 2], dtype="int64"), ignore_index=2)  # nothing left: NaN
    yield Case(T(3, 4), T(values=[2, 0, 2], dtype="int64"), ignore_index=2)
    yield Case(T(3, 4, low=-3e4, high=3e4, grad=False), T(3, dtype="int64", low=0, high=4))
    yield Case(T(3, 4), T(values=[0, 7, 1], dtype="int64"),
               error=(IndexError, f"{name}: target at position (1,) is class 7, but input has 4"))
    yield Case(T(3, 4), T(values=[0, -1, 1], dtype="int64"), error=(IndexError, f"{name}: target at position (1,) is class -1"))
    yield Case(T(2, 4), T(values=[0.0, float("nan")]), error=(TypeError, "the value at position (1,) is nan"))
    yield Case(T(2, 4), T(2, 1, dtype="int64", low=0, high=4), error=(ValueError, "needs labels of shape (2,)"))
    good = T(2, dtype="int64", low=0, high=4)
    yield Case(T(2, 4), good, T(3), error=(ValueError, f"{name}: weight has shape (3,) but input has 4 classes"))
    yield Case(T(2, 4), good, reduction="avg", error=(ValueError, f"{name}: reduction must be one of"))
