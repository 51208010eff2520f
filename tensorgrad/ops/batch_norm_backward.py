"""batch_norm_backward: the gradients of batch_norm, channel by channel."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph import Node
from ..op import Op, fn
from ..second_order import gradients_of
from ..tensor import Tensor, wrap
from .shared.channels import as_lines, empty_rows, in_rows, layout_of, needs_rows, suits_rows, with_sums
from .shared.normalization import dtype_of_gradient, flat, gradient_formula


class BatchNormBackward(Op):
    """Those of (dx, dweight, dbias) that `kinds`, a dtype or None for each, asks for.

    With xhat = (x - mean) rstd: dweight = sum of g xhat, dbias = sum of g over all dims but C, and
    dx = weight rstd (g - mean(g) - xhat mean(g xhat)); at inference, where mean and rstd are constants, dx = weight rstd g.
    """

    name = "batch_norm_backward"
    function = method = False
    defaults = ("cuda/v05_channels_last_cluster", "cuda/v02_channels_last", "cuda/v04_cluster", "cuda/v03_held", "triton/v02_channels_last",
                "triton/v03_held", "cpu/channels")
    tested_in = "tests/test_ops.py: the gradients of batch_norm"

    def forward(self, ctx: Node, g: Tensor, input: Tensor, weight: Tensor | None, mean: Any, rstd: Any, training: bool, eps: float,
                kinds: Sequence[Any]) -> tuple:
        x, xp = input.array, input.device.backend.xp
        c, layout = x.shape[1], layout_of(x, training, 2)
        rows = in_rows(self.chosen(input.device, x, layout))
        make = xp.zeros if x.size == 0 else xp.empty
        outs = [None if kind is None else make(size, dtype_of_gradient(kind, x)) for size, kind in zip((x.shape, c, c), kinds, strict=True)]
        if rows and kinds[0] is not None:
            outs[0] = empty_rows(xp, x)
        if x.size:
            dx = None if outs[0] is None else as_lines(xp, outs[0], rows)
            run = self.kernel(input.device, x, layout)
            run(dx, *outs[1:], as_lines(xp, g.array, rows), as_lines(xp, x, rows), flat(weight, xp), mean, rstd, int(training))
        ctx.mean, ctx.rstd, ctx.training, ctx.eps, ctx.kinds = mean, rstd, training, eps, kinds
        ctx.save(g, input, weight)
        return tuple([wrap(o, input.device) for o in outs if o is not None])

    bind = with_sums
    supports = needs_rows
    suits = suits_rows

    def backward(self, ctx: Node, *gradients: Tensor) -> tuple:
        def formula(g: Tensor, x: Tensor, weight: Tensor | None) -> list[Tensor]:
            line = (1, x.shape[1], *[1] * (x.ndim - 2))
            dims = (0, *range(2, x.ndim))
            w = None if weight is None else fn.reshape(weight, line)
            if ctx.training:
                dx, g_xhat = gradient_formula(g, x, w, dims, ctx.eps)
            else:
                kind = x.array.dtype
                mean, rstd = (wrap(a.reshape(line).astype(kind), x.device) for a in (ctx.mean, ctx.rstd))
                dx, g_xhat = (g * rstd if w is None else g * (w * rstd)), g * ((x - mean) * rstd)
            made = dx, *[fn.reshape(fn.sum_to_size(t, line), x.shape[1]) for t in (g_xhat, g)]
            return [m for m, kind in zip(made, ctx.kinds, strict=True) if kind is not None]

        return gradients_of(formula, ctx.saved, gradients, ctx.needs)
