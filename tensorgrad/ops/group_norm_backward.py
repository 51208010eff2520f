"""group_norm_backward: the gradients of group_norm, group by group."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..graph import Node
from ..op import Op, fn
from ..second_order import gradients_of
from ..tensor import Tensor, wrap
from .shared.channels import as_lines, empty_rows, in_rows, layout_of_groups, needs_rows, suits_groups, with_sums_of_groups
from .shared.normalization import dtype_of_gradient, flat, gradient_formula


class GroupNormBackward(Op):
    """Those of (dx, dweight, dbias) that `kinds`, a dtype or None for each, asks for.

    With xhat = (x - mean) rstd and gw = g weight: dweight and dbias are the sums of g xhat and of g over all dims but C, and
    dx = rstd (gw - mean(gw) - xhat mean(gw xhat)) with means over the group.
    """

    name = "group_norm_backward"
    function = method = False
    defaults = ("cuda/v05_channels_last_cluster", "cuda/v02_channels_last", "cuda/v04_cluster", "cuda/v03_held", "triton/v02_channels_last",
                "triton/v03_held", "cpu/channels_last", "cpu/groups")
    tested_in = "tests/test_ops.py: the gradients of group_norm"

    def forward(self, ctx: Node, g: Tensor, input: Tensor, weight: Tensor | None, mean: Any, rstd: Any, eps: float,
                kinds: Sequence[Any]) -> tuple:
        x, xp = input.array, input.device.backend.xp
        n, c, layout = x.shape[0], x.shape[1], layout_of_groups(x, mean.shape[1])
        rows = in_rows(self.chosen(input.device, x, layout))
        make = xp.zeros if x.size == 0 else xp.empty
        outs = [None if kind is None else make(size, dtype_of_gradient(kind, x)) for size, kind in zip((x.shape, c, c), kinds, strict=True)]
        if rows and kinds[0] is not None:
            outs[0] = empty_rows(xp, x)
        if x.size:
            dx = None if outs[0] is None else as_lines(xp, outs[0], rows)
            run = self.kernel(input.device, x, layout)
            run(dx, *outs[1:], xp.empty((2, n, c)), as_lines(xp, g.array, rows), as_lines(xp, x, rows), flat(weight, xp), mean, rstd)
        ctx.groups, ctx.eps, ctx.kinds = mean.shape[1], eps, kinds
        ctx.save(g, input, weight)
        return tuple([wrap(o, input.device) for o in outs if o is not None])

    bind = with_sums_of_groups
    supports = needs_rows
    suits = suits_groups

    def backward(self, ctx: Node, *gradients: Tensor) -> tuple:
        def formula(g: Tensor, x: Tensor, weight: Tensor | None) -> list[Tensor]:
            n, c = x.shape[:2]
            grouped, line = (n, ctx.groups, c // ctx.groups, math.prod(x.shape[2:])), (1, c, *[1] * (x.ndim - 2))
            w = None if weight is None else fn.reshape(weight, (1, *grouped[1:3], 1))
            dx, g_xhat = gradient_formula(fn.reshape(g, grouped), fn.reshape(x, grouped), w, (2, 3), ctx.eps)
            per_channel = [fn.reshape(fn.sum_to_size(fn.reshape(t, x.shape), line), c) for t in (g_xhat, g)]
            made = fn.reshape(dx, x.shape), *per_channel
            return [m for m, kind in zip(made, ctx.kinds, strict=True) if kind is not None]

        return gradients_of(formula, ctx.saved, gradients, ctx.needs)
