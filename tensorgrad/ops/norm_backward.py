"""norm_backward: the gradients of layer_norm and rms_norm in one walk over the rows."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..graph import Node
from ..op import Op, fn
from ..second_order import gradients_of
from ..tensor import Tensor, wrap
from .shared.normalization import flat, gradient_formula


class NormBackward(Op):
    """Those of (dx, dweight, dbias) that `kinds`, a dtype or None for each, asks for.

    With xhat = (x - mean) rstd and gw = g weight: dx = rstd (gw - mean(gw) - xhat mean(gw xhat)), dweight = sum of g xhat,
    dbias = sum of g over the rows. Where `mean` is None (rms_norm) xhat = x rstd and mean(gw) stays out.
    """

    name = "norm_backward"
    function = method = False
    defaults = ("cuda/v01_welford", "cpu/rows")
    tested_in = "tests/test_ops.py: the gradients of layer_norm and rms_norm"

    def gradients(self, ctx: Node, g: Tensor, x: Tensor, weight: Tensor | None, mean: Any) -> tuple:
        """For the backward of a normalisation with the inputs (input, weight[, bias])."""
        given = (x.array.dtype, None if weight is None else weight.array.dtype, ctx.bias)
        kinds = tuple([kind if need else None for kind, need in zip(given, ctx.needs, strict=False)])
        found = iter(fn.norm_backward(g, x, weight, mean, ctx.rstd, ctx.eps, ctx.shape, kinds))
        return tuple([next(found) if need else None for need in ctx.needs])

    def forward(self, ctx: Node, g: Tensor, input: Tensor, weight: Tensor | None, mean: Any, rstd: Any, eps: float,
                shape: Sequence[int], kinds: Sequence[Any]) -> tuple:
        x, xp = input.array, input.device.backend.xp
        rows, n = len(rstd), math.prod(shape)
        sizes = (x.shape, shape, shape)
        outs = [None if kind is None else xp.empty(size, kind) for size, kind in zip(sizes, kinds, strict=False)]
        lines = [None if o is None else o.reshape(k) for o, k in zip((*outs, None), ((rows, n), n, n), strict=False)]  # rms_norm has two
        partial = xp.empty((max(1, min(32, rows // 32)), 2, n))  # of the shape alone, so that the sums never depend on the threads
        self.kernel(input.device, x)(*lines, partial, xp.ascontiguousarray(g.array).reshape(rows, n),
                                     xp.ascontiguousarray(x).reshape(rows, n), flat(weight, xp), mean, rstd)
        ctx.eps, ctx.centred, ctx.dims, ctx.kinds = eps, mean is not None, tuple(range(-len(shape), 0)), kinds
        ctx.save(g, input, weight)
        return tuple([wrap(o, input.device) for o in outs if o is not None])

    def backward(self, ctx: Node, *gradients: Tensor) -> tuple:
        def formula(g: Tensor, x: Tensor, weight: Tensor | None) -> list[Tensor]:
            dx, g_xhat = gradient_formula(g, x, weight, ctx.dims, ctx.eps, centred=ctx.centred)
            size = x.shape[len(x.shape) - len(ctx.dims):]
            made = dx, fn.sum_to_size(g_xhat, size), fn.sum_to_size(g, size)
            return [m for m, kind in zip(made, ctx.kinds, strict=False) if kind is not None]

        return gradients_of(formula, ctx.saved, gradients, ctx.needs)
