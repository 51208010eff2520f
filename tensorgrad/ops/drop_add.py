"""drop_add: the kernel behind dropout_add, a bias, random zeros and the residual stream in one pass."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import random
from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.chains import check_alike


class DropAdd(Op):
    """y = residual + (input + bias) * scale where kept, residual + (input + bias) * 0 elsewhere; kept with probability `keep`.

    input and residual have one shape (..., n), bias, if there is one, is (n,). Draws and `state` are those of `drop`.
    """

    name = "drop_add"
    function = method = False
    defaults = ("cuda/v01_residual", "cpu/philox")

    def forward(self, ctx: Node, input: Tensor, residual: Tensor, bias: Tensor | None, keep: float, scale: float,
                state: tuple[int, int] = (0, 0)) -> Tensor:
        given = {"input": input, "residual": residual} | ({} if bias is None else {"bias": bias})
        x, beside, *added = check_alike(self, given)
        if x.shape != beside.shape:
            raise RuntimeError(f"drop_add: input has shape {tuple(x.shape)} but residual has {tuple(beside.shape)}")
        if added and added[0].shape != x.shape[-1:]:
            raise RuntimeError(f"drop_add: bias has shape {tuple(added[0].shape)} but input of shape {tuple(x.shape)} needs {x.shape[-1:]}")
        xp, n = input.device.backend.xp, x.shape[-1] if x.ndim else 1
        y, lines = xp.empty(x.shape, x.dtype), (-1, n) if x.size else (0, n)
        self.kernel(input.device, x)(y.reshape(lines), xp.ascontiguousarray(x).reshape(lines), xp.ascontiguousarray(beside).reshape(lines),
                                     xp.ascontiguousarray(added[0]) if added else None, random.signed64(state[0]), state[1],
                                     round(keep * 2**32), float(scale))
        ctx.arguments, ctx.columns = (keep, scale, 0.0, 0.0, 0, state), x.shape[-1:]
        return wrap(y, input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        need_x, need_residual, need_bias = ctx.needs
        dx = fn.drop(g, *ctx.arguments) if need_x or need_bias else None
        dbias = fn.sum_to_size(dx, ctx.columns) if need_bias else None
        return dx if need_x else None, g if need_residual else None, dbias

    def reference(self, x: Any, residual: Any, bias: Any, keep: float, scale: float, state: tuple[int, int] = (0, 0)) -> Any:
        return residual + fn.drop.op.reference(x if bias is None else x + bias, keep, scale, state=state)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(3, 5), T(5), 0.7, 1.5), Case(T(41), T(41), None, 0.4, 2.5, (7, 3)), Case(T(), T(), None, 0.5, 2.0))
        yield from (Case(T(2, 9, 8), T(2, 9, 8), T(8), 0.5, 2.0), Case(T(0, 3), T(0, 3), T(3), 0.5, 2.0), Case(T(7), T(7), T(7), 0.0, 0.0))
        yield Case(T(3, 4), T(4), None, 0.5, 2.0, error=(RuntimeError, "drop_add: input has shape (3, 4) but residual has (4,)"))
        wrong = "drop_add: bias has shape (1,) but input of shape (3, 4) needs (4,)"
        yield Case(T(3, 4), T(3, 4), T(1), 0.5, 2.0, error=(RuntimeError, wrong))
        yield Case(T(3, dtype="int64"), T(3), None, 0.5, 2.0, error=(RuntimeError, "drop_add: needs a floating tensor, got int64"))
