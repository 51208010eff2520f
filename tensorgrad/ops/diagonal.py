"""diagonal: a view of a diagonal."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap


def diagonal_of(x: Any, offset: int, dim1: int, dim2: int) -> Any:
    """A writable view of a diagonal of storage `x`, as its last dim."""
    y = x.diagonal(offset, dim1, dim2)
    if not getattr(y.flags, "writeable", True):
        y.flags.writeable = x.flags.writeable  # NumPy returns a read-only view
    return y


class Diagonal(Op):
    """A view of the diagonal of the dims `dim1` and `dim2`, `offset` above (below: negative) the main one, as the last dim."""

    name = "diagonal"
    may_view = True

    def forward(self, ctx: Node, input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        n = input.array.ndim
        a, b = check_dim("diagonal", dim1, n), check_dim("diagonal", dim2, n)
        if a == b:
            raise RuntimeError(f"diagonal: dim1 and dim2 are the same dim {a}")
        ctx.args, ctx.shape, ctx.view = (offset, a, b), input.array.shape, True
        return wrap(diagonal_of(input.array, offset, a, b), input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.diagonal_backward(g, ctx.shape, *ctx.args)

    def reference(self, x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
        return np.diagonal(x, offset, dim1, dim2)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 3)), Case(T(3, 5), 1), Case(T(5, 3), -2), Case(T(2, 3, 4), 0, -1, 0), Case(T(2, 3), 5), Case(T(0, 3)))
        yield Case(T(3, 3), 0, 1, 1, error=(RuntimeError, "diagonal: dim1 and dim2 are the same dim 1"))
        yield Case(T(3), error=(IndexError, "diagonal: dim 1 is out of range"))


class DiagonalBackward(Op):
    """Zeros of `shape` with `input` on a diagonal."""

    name = "diagonal_backward"
    function = method = False
    torch_name = ""

    def forward(self, ctx: Node, input: Tensor, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Tensor:
        out = input.device.backend.xp.zeros(shape, input.array.dtype)
        diagonal_of(out, offset, dim1, dim2)[...] = input.array
        ctx.args = (offset, dim1, dim2)
        return wrap(out, input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.diagonal(g, *ctx.args)

    def reference(self, g: Any, shape: Any, offset: int, dim1: int, dim2: int) -> Any:
        out = np.zeros(shape)
        moved = np.moveaxis(out, (dim1, dim2), (-2, -1))
        for i in range(g.shape[-1]):
            moved[..., i + max(-offset, 0), i + max(offset, 0)] = g[..., i]
        return out

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3), (3, 4), 1, 0, 1), Case(T(3, 2), (2, 3, 4), -1, 2, 0))
