"""ctc_loss: how likely a labelling is, over all its alignments with a sequence."""
from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.losses import check_reduction


class CTCLoss(Op):
    """-ln of the sum, over all paths that become the target when repeats and then blanks are dropped, of their probabilities.

    `log_probs` (T, N, C), or (T, C), come out of a log_softmax: the gradient is made for that, as PyTorch's, and is the softmax minus the
    share of the paths. `targets` are (N, S), or one after another (sum of `target_lengths`,). The mean divides each loss by
    its target's length first. `zero_infinity` makes 0 of losses whose target does not fit its sequence, and of their gradients.
    There are no second derivatives. Graves et al., "Connectionist temporal classification", ICML 2006.
    """

    name = "ctc_loss"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True
    torch_name = "nn.functional.ctc_loss"

    def forward(self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: str = "mean",
                zero_infinity: bool = False) -> Tensor:
        how, shape = check_reduction("ctc_loss", reduction), tuple(log_probs.shape)
        if len(shape) not in (2, 3) or not log_probs.dtype.is_floating_point:
            raise RuntimeError(f"ctc_loss: log_probs must be floating (T, N, C) or (T, C), it is {log_probs.dtype.name} of shape {shape}")
        x = log_probs if len(shape) == 3 else fn.unsqueeze(log_probs, 1)
        length, rows, classes = x.shape
        lengths, sizes = (_lengths(name, given, rows) for name, given in (("input", input_lengths), ("target", target_lengths)))
        if not 0 <= blank < classes:
            raise RuntimeError(f"ctc_loss: blank is {blank}, but log_probs has {classes} classes")
        if rows and (lengths.max() > length or lengths.min() < 0):
            raise RuntimeError(f"ctc_loss: input_lengths go from {lengths.min()} to {lengths.max()}, log_probs has {length} steps")
        labels = _labels(targets, sizes, classes)
        loss = fn.ctc_alignments(x, *(x.device.backend.asarray(a) for a in _states(labels, sizes, blank)),
                                 *(x.device.backend.asarray(a) for a in (lengths, sizes)), bool(zero_infinity))
        if zero_infinity:
            loss = fn.where(wrap(x.device.backend.xp.isinf(loss.array), x.device), 0.0, loss)
        if how == "mean":
            counts = np.maximum(sizes, 1).astype(np.float32 if x.dtype.itemsize < 8 else np.float64)
            return (loss / wrap(x.device.backend.asarray(counts), x.device)).mean().to(x.dtype)
        return loss.sum() if how == "sum" else loss if len(shape) == 3 else fn.squeeze(loss, 0)

    def reference(self, x: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: str = "mean",
                  zero_infinity: bool = False) -> Any:
        """Every path of every length, tried out."""
        batch = x if x.ndim == 3 else x[:, None]
        lengths, sizes = (np.array(given).reshape(-1) for given in (input_lengths, target_lengths))
        starts = np.cumsum([0, *sizes])
        losses = []
        for n, (steps, size) in enumerate(zip(lengths, sizes, strict=True)):
            flat = targets.ndim == 1 and x.ndim == 3
            wanted = list(targets[starts[n]: starts[n + 1]] if flat else np.atleast_2d(targets)[n, :size])
            total = 0.0
            for path in itertools.product(range(batch.shape[2]), repeat=int(steps)):
                if [c for c, _ in itertools.groupby(path) if c != blank] == wanted:
                    total += np.exp(sum(batch[t, n, c] for t, c in enumerate(path)))
            with np.errstate(divide="ignore"):
                losses.append(0.0 if zero_infinity and total == 0 else -np.log(total))
        loss = np.array(losses)
        if reduction == "mean":
            return (loss / np.maximum(sizes, 1)).mean()
        return loss.sum() if reduction == "sum" else loss if x.ndim == 3 else loss[0]

    def cases(self) -> Iterable[Case]:
        x, padded = T(5, 3, 3, low=-3, high=-0.1, grad=False), T(values=[[1, 2, 1], [2, 2, 0], [1, 0, 0]], dtype="int64")
        for reduction in ("mean", "sum", "none"):
            yield Case(x, padded, [5, 5, 4], [3, 2, 1], reduction=reduction)
        yield Case(x, T(values=[1, 2, 2, 1, 1], dtype="int64"), [4, 5, 5], [2, 1, 2], 0, "none")
        yield Case(x, T(values=[1, 0, 0, 1], dtype="int64"), [4, 5, 5], [1, 1, 2], blank=2)
        yield Case(x, padded, [5, 2, 0], [0, 2, 0], 0, "none", True)
        yield Case(T(4, 3, low=-3, high=-0.1, grad=False), T(values=[2, 1], dtype="int64"), [4], [2])
        yield Case(x, padded, [6, 5, 5], [3, 2, 1], error=(RuntimeError, "ctc_loss: input_lengths go from 5 to 6, log_probs has 5 steps"))
        yield Case(x, padded, [5, 5, 5], [4, 2, 1], error=(RuntimeError, "ctc_loss: target_lengths go up to 4, targets have 3 labels"))
        yield Case(x, padded, [5, 5], [3, 2, 1], error=(RuntimeError, "ctc_loss: expected 3 input_lengths, got 2"))
        yield Case(x, padded, [5, 5, 5], [3, 2, 1], 3, error=(RuntimeError, "ctc_loss: blank is 3, but log_probs has 3 classes"))


def _lengths(name: str, given: Any, rows: int) -> np.ndarray:
    values = np.asarray(given.device.backend.to_numpy(given.array) if isinstance(given, Tensor) else given).reshape(-1)
    if values.dtype.kind not in "iu" and values.size:
        raise RuntimeError(f"ctc_loss: {name}_lengths must be integers, got {given!r}")
    if len(values) != rows:
        raise RuntimeError(f"ctc_loss: expected {rows} {name}_lengths, got {len(values)}")
    return values.astype(np.int64)


def _labels(targets: Tensor, sizes: np.ndarray, classes: int) -> np.ndarray:
    """The labels as (N, longest target), 0 behind the end of each."""
    t, rows = np.asarray(targets.device.backend.to_numpy(targets.array)), len(sizes)
    longest = int(sizes.max(initial=0))
    if sizes.min(initial=0) < 0:
        raise RuntimeError(f"ctc_loss: target_lengths go from {sizes.min()}, they must not be negative")
    if t.dtype.kind not in "iu" or t.ndim not in (1, 2) or (t.ndim == 2 and len(t) != rows):
        raise RuntimeError(f"ctc_loss: targets must be integers (N, S) or (sum of target_lengths,), got {targets.dtype.name} of shape "
                           f"{tuple(targets.shape)} for {rows} sequences")
    if t.ndim == 2 and longest > t.shape[1]:
        raise RuntimeError(f"ctc_loss: target_lengths go up to {longest}, targets have {t.shape[1]} labels")
    if t.ndim == 1 and t.size != sizes.sum():
        raise RuntimeError(f"ctc_loss: target_lengths add up to {sizes.sum()}, there are {t.size} labels")
    inside = np.arange(longest) < sizes[:, None]
    labels = np.zeros((rows, longest), np.int64)
    labels[inside] = t if t.ndim == 1 else t[:, :longest][inside]
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise RuntimeError(f"ctc_loss: targets go from {labels.min()} to {labels.max()}, log_probs has {classes} classes")
    return labels


def _states(labels: np.ndarray, sizes: np.ndarray, blank: int) -> tuple[np.ndarray, np.ndarray]:
    """The classes of the states (N, 2 S + 1), blanks around the labels; and which of them may follow the one two before."""
    rows, longest = labels.shape
    states = np.full((rows, 2 * longest + 1), blank, np.int64)
    states[:, 1::2] = labels
    skips = np.zeros(states.shape, bool)
    skips[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    return states, skips
