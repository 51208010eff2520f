"""length_last: the p-norm of the last dim."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.reduction import largest


class LengthLast(Op):
    """(sum |x|^p)^(1/p) over the last dim; the count of what is not 0 for p = 0, the largest for p = inf. Gradient 0 for rows of zeros."""

    name = "length_last"
    function = method = False

    def forward(self, ctx: Node, input: Tensor, p: float) -> Tensor:
        x, xp = input.array, input.device.backend.xp
        half = x.dtype.itemsize == 2 and x.dtype.kind not in "iu"
        d = abs(x.astype(np.float32) if half else x)
        with np.errstate(over="ignore", divide="ignore"):
            if p == 0:
                y = (d != 0).sum(-1)
            elif np.isinf(p):
                y = largest(xp, d, (d.ndim - 1,), False, 0)
            else:
                y = d.sum(-1) if p == 1 else xp.sqrt(xp.square(d).sum(-1)) if p == 2 else (d**p).sum(-1) ** (1 / p)
        out = wrap(y.astype(x.dtype), input.device)
        ctx.save(input, out)
        ctx.p = p
        return out

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        x, y = ctx.saved
        p = ctx.p
        if p == 0:
            return g.new_zeros(x.shape)
        y, g = fn.unsqueeze(y, -1), fn.unsqueeze(g, -1)
        if np.isinf(p):
            hit = (x.abs() == y).to(x.dtype)
            return g * x.sign() * hit / fn.masked_fill(hit.sum(-1, keepdim=True), hit.sum(-1, keepdim=True) == 0, 1)
        if p == 1:
            return g * x.sign()
        zero = y == 0
        y = fn.masked_fill(y, zero, 1)
        if p == 2:
            return g * x / y
        return g * x.sign() * fn.masked_fill(x, x == 0, 1).abs() ** (p - 1) * y ** (1 - p) * (x != 0).to(x.dtype)

    def reference(self, x: Any, p: float) -> Any:
        d = np.abs(x)
        return (d != 0).sum(-1) if p == 0 else d.max(-1, initial=0) if np.isinf(p) else (d**p).sum(-1) ** (1 / p)

    def cases(self) -> Iterable[Case]:
        for p in (2.0, 1.0, 3.0):
            yield Case(T(3, 4, distinct=True), p)
        yield from (Case(T(3, 4, distinct=True), float("inf"), smooth=False), Case(T(2, 0), 2.0), Case(T(3, 2, grad=False), 0.0))
