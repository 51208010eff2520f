"""What the losses share: reductions, and labels that are refused by name when they are wrong."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...cases import Case, T
from ...op import Op
from ...tensor import Tensor, wrap

REDUCTIONS = ("none", "mean", "sum")


def check_reduction(op: str, reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """The reduction asked for, PyTorch's old pair of flags included; ValueError for an unknown one."""
    if size_average is not None or reduce is not None:
        return "none" if reduce is False else "sum" if size_average is False else "mean"
    if reduction not in REDUCTIONS:
        raise ValueError(f"{op}: reduction must be one of {', '.join(map(repr, REDUCTIONS))}, got {reduction!r}")
    return reduction


def reduce_loss(op: str, loss: Tensor, reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> Tensor:
    """The loss per element, its mean or its sum."""
    how = check_reduction(op, reduction, size_average, reduce)
    return loss if how == "none" else loss.mean() if how == "mean" else loss.sum()


def reference_reduce(loss: Any, reduction: str) -> Any:
    """The reduction of a NumPy loss, for references."""
    if reduction == "none":
        return loss
    return np.sum(loss) if reduction == "sum" else np.sum(loss) / loss.size if loss.size else np.float64("nan")


def same_shape(op: str, input: Tensor, target: Tensor, name: str = "target") -> None:
    """ValueError when the two shapes differ: broadcasting in a loss is nearly always a mistake."""
    a, b = tuple(input.shape), tuple(target.shape)
    if a != b:
        where = next((f"dim {i} is {m} against {n}" for i, (m, n) in enumerate(zip(a, b, strict=False)) if m != n),
                     f"{len(a)} dimensions against {len(b)}")
        raise ValueError(f"{op}: input has shape {a} but {name} {b}: {where}; bring them to one shape with reshape or expand")


def check_labels(op: str, input: Tensor, target: Tensor, ignore_index: int) -> Any:
    """Class labels for scores (C), (N, C) or (N, C, d1, ...) as int64; the errors name position, value and class count."""
    x, t = input.array, target.array
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{op}: input must be floating, it is {input.dtype.name}")
    if x.ndim == 0:
        raise ValueError(f"{op}: input has no dimensions; expected (C), (N, C) or (N, C, d1, ...)")
    at = 0 if x.ndim == 1 else 1
    classes = x.shape[at]
    if target.device is not input.device:
        raise RuntimeError(f"{op}: input is on {input.device} but target on {target.device}; move one with .to(...)")
    if t.dtype.kind not in "iu":
        value, t = "", target.device.backend.to_numpy(t)
        if t.size and target.dtype.is_floating_point:
            bad = np.argwhere(~np.isfinite(t.astype(np.float64)) | (t.astype(np.float64) % 1 != 0))
            where = tuple(int(i) for i in (bad[0] if len(bad) else [0] * t.ndim))
            value = f" (the value at position {where} is {float(t[where])})"
        raise TypeError(f"{op}: class labels must be integers from 0 to {classes - 1}, target is {target.dtype.name}{value}; "
                        f"class probabilities would need the shape of input, {tuple(x.shape)}, not {tuple(t.shape)}")
    want = x.shape[:at] + x.shape[at + 1:]
    if t.shape != want:
        raise ValueError(f"{op}: target has shape {tuple(t.shape)} but input of shape {tuple(x.shape)}, with {classes} classes in "
                         f"dim {at}, needs labels of shape {tuple(want)}")
    xp = target.device.backend.xp
    t = xp.ascontiguousarray(t, np.int64)
    if t.size and not target.device.backend.capturing() and t.view(np.uint64).max() >= classes:  # negative ones are large so
        bad = xp.argwhere(((t < 0) | (t >= classes)) & (t != ignore_index))
        if len(bad):
            where = tuple(int(i) for i in bad[0])
            raise IndexError(f"{op}: target at position {where} is class {int(t[where])}, but input has {classes} classes (dim {at} of "
                             f"{tuple(x.shape)}): labels go from 0 to {classes - 1}, or are ignore_index={ignore_index}")
    return t.reshape(want)


def check_class_weight(op: str, input: Tensor, weight: Tensor | None) -> None:
    """ValueError unless there is one weight for each class, of input's dtype, that wants no gradient."""
    if weight is None:
        return
    at = 0 if input.ndim == 1 else 1
    if tuple(weight.shape) != (input.shape[at],):
        raise ValueError(f"{op}: weight has shape {tuple(weight.shape)} but input has {input.shape[at]} classes (dim {at} of "
                         f"{tuple(input.shape)})")
    if weight.dtype is not input.dtype:
        raise RuntimeError(f"{op}: weight is {weight.dtype.name} but input {input.dtype.name}; convert one with .to(...)")
    if weight.requires_grad:
        raise RuntimeError(f"{op}: there is no gradient for the class weights; pass weight.detach()")


def label_weights(xp: Any, t: Any, weight: Tensor | None, ignore_index: int, kind: Any) -> Any:
    """The weight of each label's class, 0 where it is ignored."""
    kept = t != ignore_index
    if weight is None:
        return kept.astype(kind)
    return xp.where(kept, weight.array.astype(kind)[xp.where(kept, t, 0)], kind(0)) if weight.array.size else xp.zeros(t.shape, kind)


def mean_over(xp: Any, total: Any, count: Any) -> Any:
    """total / count, not a number where nothing counts; both are the device's, so that nobody waits for them."""
    with np.errstate(all="ignore"):
        return xp.where(count == 0, np.nan, total / count)


def inverse(count: Any, g: Tensor) -> Any:
    """1 / count, not a number where nothing counts, to multiply a gradient by: a number, or one that the device holds."""
    if isinstance(count, float):
        return 1.0 / count if count else math.nan
    return wrap(mean_over(g.device.backend.xp, 1.0, count).astype(g.array.dtype), g.device)


def pair_cases(name: str, input: dict[str, Any] | None = None, target: dict[str, Any] | None = None, **options: Any) -> Iterable[Case]:
    """Sample calls of a loss on two tensors of one shape; `input` and `target` are options of `T`, `options` a second set of arguments."""
    a, b = input or {}, target or {}
    for shape in ((5,), (3, 4), (), (2, 0)):
        for reduction in REDUCTIONS:
            yield Case(T(*shape, **a), T(*shape, **b), reduction=reduction, smooth=0 not in shape)
    if options:
        yield Case(T(3, 4, **a), T(3, 4, **b), **options)
    yield Case(T(4, **a), T(4, 1, **b), torch=False, error=(ValueError, f"{name}: input has shape (4,) but target (4, 1)"))
    yield Case(T(4, **a), T(4, **b), reduction="avg", error=(ValueError, f"{name}: reduction must be one of"))


class PairLoss(Op):
    """`distance` of input - target, its mean or sum; with `weight`, the weighted mean."""

    def distance(self, difference: Tensor) -> Tensor:
        """The loss of input - target, element by element."""
        raise NotImplementedError

    def reference_distance(self, difference: Any) -> Any:
        """The same on NumPy arrays."""
        raise NotImplementedError

    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
                weight: Tensor | None = None) -> Tensor:
        how = check_reduction(self.name, reduction, size_average, reduce)
        same_shape(self.name, input, target)
        loss = self.distance(input - target)
        if weight is None:
            return reduce_loss(self.name, loss, how)
        same_shape(self.name, input, weight, "weight")
        loss = loss * weight
        return loss.sum() / weight.sum() if how == "mean" else reduce_loss(self.name, loss, how)

    def reference(self, x: Any, y: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean", weight: Any = None) -> Any:
        loss = self.reference_distance(x - y) * (1 if weight is None else weight)
        return loss.sum() / weight.sum() if weight is not None and reduction == "mean" else reference_reduce(loss, reduction)

    def cases(self) -> Iterable[Case]:
        yield from pair_cases(self.name)
        yield Case(T(3, 4), T(3, 4), weight=T(3, 4, low=0.5))
