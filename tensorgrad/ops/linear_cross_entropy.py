"""linear_cross_entropy: the cross-entropy of scores x @ w.T + b that are never stored."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dispatch import Kernel
from ..graph import MODE, Node
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .linear import check_affine
from .linear_cross_entropy_backward import by_chunks
from .shared.losses import check_class_weight, check_labels, check_reduction, inverse, label_weights, mean_over


def asked(ctx: Node) -> tuple[bool, bool, bool]:
    """Whether the gradients of (input, linear_weight, linear_bias) are wanted."""
    needs = ctx.needs
    return needs[0], needs[1], needs[3]


def parts_of_classes(positions: int, classes: int) -> int:
    """Among how many programs the classes of a tile of 128 positions are shared: of 1024 classes at least, so that there are 512 in all."""
    return max(1, min(-(-classes // 1024), -(-512 // -(-max(positions, 1) // 128))))


class LinearCrossEntropy(Op):
    """cross_entropy(linear(input, linear_weight, linear_bias), target) for class labels, with a chunk of the scores at a time.

    input (..., in), linear_weight (C, in), target (...) of integers, linear_bias (C,); the options are cross_entropy's. The scores of
    as many positions as the workspace limit holds (set_workspace_limit) are made, become loss and gradient in place, and are
    forgotten. With "mean" or "sum" the forward pass does all of it: three products, nothing is computed twice; backward scales the
    gradients by the one that comes in. With "none", and for second derivatives, backward makes the scores again.
    PyTorch takes class probabilities too; here they need the scores: cross_entropy of linear.
    Hsu et al., "Liger Kernel", arXiv:2410.10989, section 3.2.
    """

    name = "linear_cross_entropy"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    defaults = ("cuda/v02_cluster", "cuda/v01_online", "cuda/v00_thread_per_position", "cpu/fused")

    def suits(self, kernel: Kernel, kind: str = "row", wanted: str = "gradients") -> bool:
        """A cluster is for classes that a block does not hold."""
        return (kind == "long" or kernel.path != "cuda/v02_cluster") and not kernel.rung.endswith("_tf32")

    def supports(self, kernel: Kernel, kind: str = "row", wanted: str = "gradients") -> str | None:
        return "makes losses alone: no scores are left to make gradients of" if wanted == "gradients" and "_fused_" in kernel.rung else None

    def bind(self, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
        """The kernel; with memory for the sums of parts of the classes where it is one that never has the scores."""
        if "_fused_" not in path:
            return call

        def in_parts(loss: Any, x: Any, w: Any, *rest: Any) -> None:
            call(loss, x, w, *rest, xp.empty((parts_of_classes(len(x), len(w)), 5, len(x)), np.float32))

        return in_parts

    def forward(self, ctx: Node, input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
                weight: Tensor | None = None, reduction: str = "mean", ignore_index: int | None = None,
                label_smoothing: float = 0.0) -> Tensor:
        name, device = self.name, input.device
        check_reduction(name, reduction)
        if not 0.0 <= label_smoothing <= 1.0:
            raise RuntimeError(f"{name}: label_smoothing must be between 0 and 1, got {label_smoothing}")
        check_affine(name, input, linear_weight, linear_bias)
        if linear_weight.ndim != 2:
            raise RuntimeError(f"{name}: linear_weight must be (classes, features), its shape is {tuple(linear_weight.shape)}")
        xp, classes = device.backend.xp, linear_weight.shape[0]
        lead = tuple(input.shape[:-1])
        if tuple(target.shape) != lead:
            raise ValueError(f"{name}: target has shape {tuple(target.shape)} but input of shape {tuple(input.shape)} needs labels of "
                             f"shape {lead}")
        ignored = -100 if ignore_index is None else ignore_index
        scores = wrap(xp.broadcast_to(xp.empty((), input.array.dtype), (*lead[:1], classes, *lead[1:])), device)  # their shape, no memory
        check_class_weight(name, scores, weight)
        t = wrap(check_labels(name, scores, target, ignored), device)
        ctx.options = (ignored, reduction, float(label_smoothing))
        ctx.save(input, linear_weight, linear_bias, weight)
        ctx.target = t
        needs = asked(ctx) if ctx.edges is not None and reduction != "none" else (False,) * 3
        loss, ctx.gradients = by_chunks(input, linear_weight, linear_bias, t, weight, None, ctx.options, needs)
        if reduction == "none":
            return wrap(loss.reshape(lead).astype(input.array.dtype, copy=False), device)
        total = loss.sum(dtype=np.float64)
        ctx.denominator = 1.0
        if reduction == "mean":
            ctx.denominator = label_weights(xp, t.array, weight, ignored, loss.dtype.type).sum(dtype=np.float64)
            total = mean_over(xp, total, ctx.denominator)
            ctx.denominator = xp.where(ctx.denominator == 0, 1.0, ctx.denominator)  # gradients of nothing are zeros
        return wrap(xp.asarray(total, input.array.dtype), device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, w, b, weight = ctx.saved
        found = ctx.gradients
        if MODE.enabled or ctx.options[1] == "none":
            made = iter(fn.linear_cross_entropy_backward(g, x, w, b, ctx.target, weight, ctx.options, asked(ctx)))
        else:
            scale = g.to(found.kind)
            scale = scale * inverse(ctx.denominator, scale)  # without dimensions: it does not widen what it scales
            made = iter([(d * scale).to(x.dtype) for d in found.tensors if d is not None])
        dx, dw, db = [next(made) if need else None for need in asked(ctx)]
        return dx, dw, None, db, None

    def reference(self, x: Any, w: Any, target: Any, linear_bias: Any = None, weight: Any = None, reduction: str = "mean",
                  ignore_index: int | None = None, label_smoothing: float = 0.0) -> Any:
        scores = np.einsum("...i,ci->...c", x, w) + (0 if linear_bias is None else linear_bias)
        return fn.cross_entropy.op.reference(np.moveaxis(scores, -1, min(1, x.ndim - 1)), target, weight, reduction=reduction,
                                             ignore_index=-100 if ignore_index is None else ignore_index, label_smoothing=label_smoothing)

    def cases(self) -> Iterable[Case]:
        def labels(*shape: int, classes: int) -> T:
            return T(*shape, dtype="int64", low=0, high=classes)

        class_weight = T(7, low=0.5, high=2, grad=False)
        for reduction in ("mean", "sum", "none"):
            yield Case(T(5, 3), T(7, 3), labels(5, classes=7), reduction=reduction)
            yield Case(T(5, 3), T(7, 3), labels(5, classes=7), linear_bias=T(7), weight=class_weight, reduction=reduction, ignore_index=1,
                       label_smoothing=0.2)
        yield from (Case(T(3), T(7, 3), labels(classes=7), linear_bias=T(7)), Case(T(1, 1), T(1, 1), labels(1, classes=1)),
                    Case(T(0, 3), T(7, 3), labels(0, classes=7), reduction="sum"), Case(T(37, 5), T(70, 5), labels(37, classes=70)),
                    Case(T(2, 4, 3), T(7, 3), labels(2, 4, classes=7), linear_bias=T(7), torch=False))
        yield Case(T(3, 2, grad=False), T(4, 2, grad=False), T(values=[2, 2, 2], dtype="int64"), ignore_index=2)  # nothing left: NaN
        yield Case(T(3, 4), T(7, 5), labels(3, classes=7), error=(RuntimeError, "linear_cross_entropy: input has 4 features"))
        yield Case(T(3, 4), T(7, 4), labels(2, classes=7), error=(ValueError, "linear_cross_entropy: target has shape (2,) but input"))
        yield Case(T(3, 4), T(7, 4), T(values=[0, 7, 1], dtype="int64"),
                   error=(IndexError, "linear_cross_entropy: target at position (1,) is class 7, but input has 7 classes"))
        yield Case(T(3, 4), T(7, 4), labels(3, classes=7), weight=T(6, grad=False),
                   error=(ValueError, "weight has shape (6,) but input has 7"))
        yield Case(T(3, 4), T(7, 4), labels(3, classes=7), reduction="avg", error=(ValueError, "reduction must be one of"))
        yield Case(T(3, 4), T(7, 4), labels(3, classes=7), label_smoothing=2.0, error=(RuntimeError, "between 0 and 1, got 2.0"))

    def cost(self, input: Any, linear_weight: Any, *args: Any, **kwargs: Any) -> tuple[float, float]:
        return 2.0 * np.prod(input.shape) * linear_weight.shape[0], float(input.nbytes + linear_weight.nbytes)
