"""cross_entropy_labels: the fused kernel behind cross_entropy for class labels, and its backward."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import dtypes
from ..cases import Case, T
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.losses import check_labels, inverse, label_weights, mean_over
from .shared.rows import kind_of_row, sliced


def _wide(x: Any) -> Any:
    """The dtype of per-position numbers: float32 stands in for half precision, whose sums would lose their digits."""
    return np.float32 if dtypes.BY_NUMPY[x.dtype] in (dtypes.float16, dtypes.bfloat16) else x.dtype.type


class Positions(Op):
    """What the ops on positions share: which rungs they try."""

    function = method = False
    group = "cross_entropy"
    defaults = ("cuda/v01_online", "cuda/v00_thread_per_position", "cpu/fused")

    def suits(self, kernel: Kernel, kind: str = "row") -> bool:
        """Where the classes of a position are not neighbours in memory, positions are: a thread for each."""
        return kind != "columns" or kernel.path not in ("cuda/v01_online", "cuda/v02_cluster")


class CrossEntropyLabels(Positions):
    """The cross-entropy of scores (N, C, ...) against labels (N, ...); see cross_entropy. Stores two numbers a position."""

    name = "cross_entropy_labels"

    def forward(self, ctx: Node, input: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100,
                reduction: str = "mean", label_smoothing: float = 0.0) -> Tensor:
        x, device = input.array, input.device
        xp, kind = device.backend.xp, _wide(input.array)
        t = check_labels("cross_entropy", input, target, ignore_index)
        loss, top, log_sum = (xp.empty(t.shape, kind) for _ in range(3))
        w = None if weight is None else xp.ascontiguousarray(weight.array)
        sizes = sliced(x.shape, min(1, x.ndim - 1))
        run = self.kernel(device, x, kind_of_row(x, *sizes[1:]))
        run(loss, top, log_sum, xp.ascontiguousarray(x), t, w, *sizes, ignore_index, float(label_smoothing))
        ctx.save(input, weight)
        ctx.stats, ctx.target, ctx.options = (wrap(top, device), wrap(log_sum, device)), wrap(t, device), (ignore_index, label_smoothing)
        ctx.denominator = None if reduction == "none" else 1.0
        if reduction == "none":
            return wrap(loss.astype(x.dtype, copy=False), device)
        total = loss.sum(dtype=np.float64)
        if reduction == "mean":
            if weight is None and xp is np:  # the host's numbers, of which Python knows faster
                ctx.denominator = float(np.count_nonzero(t != ignore_index))
                return wrap(np.asarray(total / ctx.denominator if ctx.denominator else np.nan, x.dtype), device)
            if weight is None:
                ctx.denominator = xp.asarray(xp.count_nonzero(t != ignore_index), np.float64)
            else:
                ctx.denominator = label_weights(xp, t, weight, ignore_index, kind).sum(dtype=np.float64)
            total = mean_over(xp, total, ctx.denominator)
        return wrap(xp.asarray(total, x.dtype), device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, weight = ctx.saved
        return fn.cross_entropy_labels_backward(g, x, ctx.target, weight, *ctx.stats, ctx.denominator, *ctx.options), None, None

    def reference(self, x: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Any:
        return fn.cross_entropy.op.reference(x, target, weight, ignore_index=ignore_index, reduction=reduction,
                                             label_smoothing=label_smoothing)

    def cases(self) -> Iterable[Case]:
        yield Case(T(8, 10), T(8, dtype="int64", low=0, high=10))

    def cost(self, input: Any, *args: Any, **kwargs: Any) -> tuple[float, float]:
        return 4.0 * np.prod(input.shape), float(input.nbytes)


class CrossEntropyLabelsBackward(Positions):
    """d loss / d input, from the maximum and ln sum exp of each position; `denominator` is None for reduction "none"."""

    name = "cross_entropy_labels_backward"
    tested_in = "tests/test_ops.py"  # by way of cross_entropy

    def forward(self, ctx: Node, grad: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, maximum: Tensor, log_sum: Tensor,
                denominator: Any, ignore_index: int, label_smoothing: float) -> Tensor:
        x, t, device = input.array, target.array, input.device
        xp, kind = device.backend.xp, _wide(input.array)
        g = grad.array.astype(kind)
        if isinstance(denominator, float):
            g, share = xp.empty(t.shape, kind), g / kind(denominator) if denominator else kind("nan")
            g[...] = share
        elif denominator is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                g = xp.broadcast_to(g / denominator.astype(kind), t.shape)
        dx = xp.empty(x.shape, x.dtype)
        w = None if weight is None else xp.ascontiguousarray(weight.array)
        sizes = sliced(x.shape, min(1, x.ndim - 1))
        run = self.kernel(device, x, kind_of_row(x, *sizes[1:]))
        run(dx, xp.ascontiguousarray(g), xp.ascontiguousarray(x), t, w, maximum.array, log_sum.array, *sizes, ignore_index,
            float(label_smoothing))
        ctx.save(grad, input, weight)
        ctx.target, ctx.denominator, ctx.options = target, denominator, (ignore_index, label_smoothing)
        return wrap(dx, device)

    def backward(self, ctx: Node, u: Tensor) -> tuple:
        """With dx = g (a p - q), p = softmax(x): the derivative by g is sum_c u (a p - q), by x that of softmax for u g a."""
        g, x, weight = ctx.saved
        t, (ignored, smoothing) = ctx.target.array, ctx.options
        at = min(1, x.ndim - 1)
        classes, kind = x.shape[at], x.array.dtype
        xp = x.device.backend.xp
        w = xp.ones(classes) if weight is None else weight.array.astype(np.float64)
        kept = xp.expand_dims(t != ignored, at)
        own = xp.expand_dims(label_weights(xp, t, weight, ignored, np.float64), at) * (1 - smoothing)
        across = w.reshape([-1] + [1] * (x.ndim - 1 - at)) * (smoothing / classes)
        hit = xp.expand_dims(t, at) == xp.arange(classes).reshape(across.shape)
        a = wrap((own + kept * across.sum()).astype(kind), x.device)
        q = wrap((own * hit + kept * across).astype(kind), x.device)
        p = fn.softmax(x, at)
        share = None if ctx.denominator is None else inverse(ctx.denominator, g)
        scale = g.unsqueeze(at) if share is None else g * share
        dg = None
        if ctx.edges[0]:
            dg = (u * (p * a + q * -1.0)).sum(at)
            if share is not None:
                dg = dg.sum() * share
        dx = fn.softmax_backward(u * scale * a, p, at) if ctx.edges[1] else None
        return dg, dx, None, None, None, None
