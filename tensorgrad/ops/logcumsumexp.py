"""logcumsumexp: running ln of the sum of e^x."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap
from .shared.reduction import running


class Logcumsumexp(Op):
    """y_i = ln(exp(x_0) + ... + exp(x_i)) along `dim`, without overflow."""

    name = "logcumsumexp"

    def forward(self, ctx: Node, input: Tensor, dim: int) -> Tensor:
        x = input.array
        d = check_dim("logcumsumexp", dim, x.ndim)
        wide = x.astype(np.float64)
        y = wide if x.ndim == 0 else running(input.device.backend.xp, "logaddexp", wide, d)
        out = wrap(y.astype(x.dtype), input.device)
        ctx.dim = d
        ctx.save(input, out)
        return out

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        x, y = ctx.saved
        if not x.array.ndim:
            return g
        d, n = ctx.dim, x.array.shape[ctx.dim]
        later = wrap(x.device.backend.xp.tri(n, dtype=np.bool_).T, x.device)
        rows, sums = x.double().movedim(d, -1).unsqueeze(-1), y.double().movedim(d, -1).unsqueeze(-2)
        share = fn.where(later, (fn.where(later, rows - sums, 0.0)).exp(), 0.0)  # dy_j / dx_i for j >= i
        return (share * g.movedim(d, -1).unsqueeze(-2)).sum(-1).movedim(-1, d).to(g.dtype)

    def reference(self, x: Any, dim: int) -> Any:
        return np.log(np.cumsum(np.exp(x), axis=dim)) if x.ndim else x

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(7), 0), Case(T(3, 5), 1), Case(T(2, 3, 4), -2), Case(T(), 0), Case(T(0), 0))
        yield Case(T(2, 3), 2, error=(IndexError, "logcumsumexp: dim 2 is out of range"))
