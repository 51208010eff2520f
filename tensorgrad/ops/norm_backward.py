"""norm_backward: the gradients of layer_norm and rms_norm in one walk over the rows."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn
from ..second_order import gradients_of
from ..tensor import Tensor, wrap
from .shared.normalization import dtype_of_gradient, flat, gradient_formula, holds_row, row_bytes


def parts_of(path: str, rows: int, n: int) -> int:
    """Lines of partial sums: of the shape alone, so that the sums never depend on threads or the chip."""
    if path.endswith("/v02_persistent"):  # a line for each block, which has 8 rows at a time where they are short
        return max(1, min(256, -(-rows // 8))) if n <= 1024 else max(1, min(128, rows))
    return max(1, min(32, rows // 32))


class NormBackward(Op):
    """Those of (dx, dweight, dbias) that `kinds`, a dtype or None for each, asks for.

    With xhat = (x - mean) rstd and gw = g weight: dx = rstd (gw - mean(gw) - xhat mean(gw xhat)), dweight = sum of g xhat,
    dbias = sum of g over the rows. Where `mean` is None (rms_norm) xhat = x rstd and mean(gw) stays out.
    """

    name = "norm_backward"
    function = method = False
    defaults = ("cuda/v02_persistent", "cuda/v01_welford", "cpu/rows")
    tested_in = "tests/test_ops.py: the gradients of layer_norm and rms_norm"

    def supports(self, kernel: Kernel, size: int = 0, itemsize: int = 4) -> str | None:
        return holds_row(kernel, size, (48 if itemsize < 8 else 32) * 1024)

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
        outs = [None if kind is None else xp.empty(size, dtype_of_gradient(kind, x)) for size, kind in zip(sizes, kinds, strict=False)]
        lines = [None if o is None else o.reshape(k) for o, k in zip((*outs, None), ((rows, n), n, n), strict=False)]  # rms_norm has two
        kind = row_bytes(x, n), x.dtype.itemsize
        partial = xp.empty((parts_of(self.chosen(input.device, x, *kind).path, rows, n), 2, n))
        self.kernel(input.device, x, *kind)(*lines, partial, xp.ascontiguousarray(g.array).reshape(rows, n),
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
