"""transpose: a view with two dimensions swapped."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, check_dim, wrap


class Transpose(Op):
    """A view with the dimensions `dim0` and `dim1` swapped."""

    name = "transpose"
    aliases = ("swapaxes", "swapdims")
    may_view = True
    reshapes = True

    def forward(self, ctx: Node, input: Tensor, dim0: int, dim1: int) -> Tensor:
        x = input.array
        ctx.view, ctx.dims = True, (dim0, dim1)
        if not x.ndim:
            check_dim("transpose", dim0, 0), check_dim("transpose", dim1, 0)
            return wrap(x[...], input.device)
        try:
            return wrap(x.swapaxes(dim0, dim1), input.device)
        except ValueError:
            check_dim("transpose", dim0, x.ndim), check_dim("transpose", dim1, x.ndim)
            raise

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.transpose(g, *ctx.dims)

    def reference(self, x: Any, dim0: int, dim1: int) -> Any:
        return np.swapaxes(x, dim0, dim1) if x.ndim else x

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3), 0, 1), Case(T(2, 3, 5), -1, 0), Case(T(2, 0, 3), 1, 2), Case(T(3), 0, 0), Case(T(), 0, -1))
        yield Case(T(2, 3), 0, 2, error=(IndexError, "transpose: dim 2 is out of range for a tensor of 2 dimensions"))
