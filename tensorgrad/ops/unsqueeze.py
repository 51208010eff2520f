"""unsqueeze: a view with one more dimension of size 1."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op
from ..tensor import Tensor, check_dim, wrap


class Unsqueeze(Op):
    """A view with a new dimension of size 1 at `dim`."""

    name = "unsqueeze"
    may_view = True
    reshapes = True

    def forward(self, ctx: Node, input: Tensor, dim: int) -> Tensor:
        d = check_dim("unsqueeze", dim, input.array.ndim + 1)
        ctx.dim, ctx.view = d, True
        return wrap(input.array[(*(slice(None),) * d, None, ...)], input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return g.squeeze(ctx.dim)

    def reference(self, x: Any, dim: int) -> Any:
        return np.expand_dims(x, dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3), 0), Case(T(2, 3), -1), Case(T(), 0), Case(T(0), 1))
        yield Case(T(2), 3, error=(IndexError, "unsqueeze: dim 3 is out of range"))
