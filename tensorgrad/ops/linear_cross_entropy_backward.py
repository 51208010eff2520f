"""linear_cross_entropy_backward: losses and gradients of linear_cross_entropy, a chunk of the scores at a time."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import dtype as DType
from ..grad_mode import no_grad
from ..graph import Node
from ..op import Op, fn
from ..second_order import gradients_again
from ..tensor import Tensor, wrap
from ..workspace import get_workspace_limit
from .matmul import MATMUL
from .shared.losses import label_weights
from .shared.rows import kind_of_row

TILE = 128  # rows: chunks of whole tiles keep the products' blocks full


@dataclass
class Gradients:
    """d loss / d (input, linear_weight, linear_bias), those that were asked for; sums over chunks are of the dtype `kind`."""

    tensors: list[Tensor | None]
    kind: DType


def rows_at_a_time(rows: int, row_bytes: int) -> int:
    """How many rows of scores the workspace limit holds: all, or whole tiles of them, but at least one."""
    fit = max(get_workspace_limit() // max(row_bytes, 1), 1)
    return max(rows, 1) if fit >= rows else fit - fit % TILE if fit > TILE else fit


@no_grad()
def by_chunks(input: Tensor, w: Tensor, bias: Tensor | None, target: Tensor, weight: Tensor | None, g: Any, options: tuple,
              needs: tuple[bool, bool, bool]) -> tuple[Any, Gradients]:
    """(losses, gradients that are needed) of all positions, `g` (or 1) times those of the losses.

    The product of a chunk, its losses and gradients in the scores' place, the products with those. Sums over chunks of half
    precision are in float32, so that they are not rounded at every chunk. A rung that never has the scores makes all losses at once.
    """
    device, xp = input.device, input.device.backend.xp
    classes, features = w.array.shape
    x = xp.ascontiguousarray(input.array).reshape(-1, features)
    kind = dtypes.float32 if input.dtype in (dtypes.float16, dtypes.bfloat16) else input.dtype
    loss = xp.empty(len(x), kind.np)
    dx = xp.zeros(x.shape, x.dtype) if needs[0] else None
    sums: list[Any] = [None, None]
    t, b = target.array.reshape(-1), None if bias is None else bias.array
    own = None if weight is None else xp.ascontiguousarray(weight.array)
    ignored, _, smoothing = options
    call = kind_of_row(x, classes, 1), "gradients" if any(needs) else "losses"
    if "_fused_" in fn.linear_cross_entropy.op.chosen(device, x, *call).rung:
        run = fn.linear_cross_entropy.op.kernel(device, x, *call)
        run(loss, x, w.array, None if b is None else xp.ascontiguousarray(b), t, own, ignored, smoothing)
        return loss, Gradients([None] * 3, kind)
    rows = rows_at_a_time(len(x), classes * x.dtype.itemsize)
    buffer = xp.empty((min(rows, len(x)), classes), x.dtype)
    run = fn.linear_cross_entropy.op.kernel(device, x, *call)
    for first in range(0, len(x), rows):
        part = slice(first, first + rows)
        scores = buffer[:len(x) - first]
        MATMUL.multiply_into(device, scores, x[part], w.array.T, *(() if b is None else (None, b, 1.0, 1.0, 0)))
        run(scores, loss[part], None if g is None else g[part], t[part], own, ignored, smoothing, int(any(needs)))
        if dx is not None:
            MATMUL.multiply_into(device, dx[part], scores, w.array)
        made = (MATMUL.multiply(device, scores.T, x[part]) if needs[1] else None,
                fn.sum(wrap(scores, device), 0).array if needs[2] else None)
        for i, one in enumerate(made):
            if one is not None:
                wide = one.astype(kind.np, copy=False)
                sums[i] = wide if sums[i] is None else xp.add(sums[i], wide, out=sums[i])
    if not len(x):
        sums = [xp.zeros(shape, kind.np) if need else None for shape, need in zip((w.array.shape, classes), needs[1:], strict=True)]
    found = [None if dx is None else dx.reshape(input.array.shape), *sums]
    return loss, Gradients([None if d is None else wrap(d, device) for d in found], kind)


class LinearCrossEntropyBackward(Op):
    """Those of (d input, d linear_weight, d linear_bias) that `needs` asks for, from scores made again chunk by chunk.

    Its own backward differentiates the plain formula, with all scores in memory.
    """

    name = "linear_cross_entropy_backward"
    function = method = False
    tested_in = "tests/test_linear_cross_entropy.py"

    def forward(self, ctx: Node, grad: Tensor, input: Tensor, linear_weight: Tensor, linear_bias: Tensor | None, target: Tensor,
                weight: Tensor | None, options: tuple, needs: tuple) -> tuple:
        xp, t = input.device.backend.xp, target.array.reshape(-1)
        ignored, reduction, _ = options
        kind = np.float32 if input.dtype in (dtypes.float16, dtypes.bfloat16) else input.array.dtype.type
        each = grad.array.astype(kind).reshape(-1)
        if reduction != "none":
            total = label_weights(xp, t, weight, ignored, kind).sum(dtype=np.float64) if reduction == "mean" else np.float64(1)
            each = xp.broadcast_to(each / xp.where(total == 0, 1.0, total).astype(kind), t.shape)
        _, found = by_chunks(input, linear_weight, linear_bias, target, weight, xp.ascontiguousarray(each), options, needs)
        ctx.save(grad, input, linear_weight, linear_bias, weight)
        ctx.target, ctx.options, ctx.wanted = target, options, needs
        return tuple([d.to(input.dtype) for d in found.tensors if d is not None])

    def backward(self, ctx: Node, *u: Tensor) -> tuple:
        g, *tensors, weight = ctx.saved
        ignored, reduction, smoothing = ctx.options

        def formula(*affine: Any) -> tuple:
            scores = fn.linear(*affine)
            scores = fn.movedim(scores, -1, min(1, scores.ndim - 1))
            return (fn.cross_entropy_labels(scores, ctx.target, weight, ignored, reduction, smoothing),)

        first, rest = gradients_again(formula, tensors, (g,), ctx.wanted, u)
        return *first, *rest, None, None
