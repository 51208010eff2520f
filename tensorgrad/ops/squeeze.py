"""squeeze: a view without dimensions of size 1."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..cases import Case, T
from ..graph import Node
from ..op import Op
from ..tensor import Tensor, wrap
from .shared.reduction import reduced_dims


class Squeeze(Op):
    """A view without the dimensions of size 1, all of them or those among `dim` (none of them for an empty list)."""

    name = "squeeze"
    may_view = True
    reshapes = True

    def forward(self, ctx: Node, input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
        x = input.array
        dims = [d for d in reduced_dims("squeeze", dim, x.ndim) if x.ndim and x.shape[d] == 1 and dim not in ((), [])]
        ctx.shape, ctx.view = x.shape, True
        return wrap(x.squeeze(tuple(dims)), input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return g.reshape(ctx.shape)

    def reference(self, x: Any, dim: Any = None) -> Any:
        dims = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
        return x.reshape([n for i, n in enumerate(x.shape) if n != 1 or i not in [d % max(x.ndim, 1) for d in dims]])

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(1, 3, 1)), Case(T(1, 3, 1), 0), Case(T(2, 3), 0), Case(T(1, 2, 1), [0, 2]), Case(T(1, 0), -2), Case(T()))
        yield Case(T(1, 2), [])
        yield Case(T(2), 1, error=(IndexError, "squeeze: dim 1 is out of range"))
