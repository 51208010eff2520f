"""unbind: the entries of one dimension."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap


class Unbind(Op):
    """A tuple of views: the entries of dim `dim`, without that dim."""

    name = "unbind"
    may_view = True

    def forward(self, ctx: Node, input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
        x = input.array
        if not x.ndim:
            raise RuntimeError("unbind: the tensor has no dimensions")
        ctx.dim, ctx.view = check_dim("unbind", dim, x.ndim), True
        front = (slice(None),) * ctx.dim
        return tuple([wrap(x[(*front, i, ...)], input.device) for i in range(x.shape[ctx.dim])])

    def backward(self, ctx: Node, *grads: Tensor) -> Tensor:
        return fn.stack(grads, ctx.dim)

    def reference(self, x: Any, dim: int = 0) -> Any:
        return [x.take(i, dim) for i in range(x.shape[dim])]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 2)), Case(T(3, 2), -1), Case(T(2, 0, 3), 0), Case(T(4)), Case(T(2, 3, 1), 1))
        yield Case(T(), error=(RuntimeError, "unbind: the tensor has no dimensions"))
