"""permute: a view with the dimensions in another order."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, Sizes, fn
from ..tensor import Tensor, check_dim, wrap


class Permute(Op):
    """A view whose dim i is the dim `dims[i]` of the input; each dim must appear once."""

    name = "permute"
    may_view = True

    def forward(self, ctx: Node, input: Tensor, dims: Sizes) -> Tensor:
        x = input.array
        try:
            y = x.transpose(dims) if dims or x.ndim == 0 else None
        except ValueError:
            y = None
        if y is None:
            n = x.ndim
            if len(dims) != n:
                raise RuntimeError(f"permute: {len(dims)} dims {tuple(dims)} for a tensor of {n} dimensions of shape {tuple(x.shape)}")
            [check_dim("permute", d, n) for d in dims]
            raise RuntimeError(f"permute: a dim appears more than once in {tuple(dims)}")
        ctx.dims, ctx.view = dims, True
        return wrap(y, input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        n = len(ctx.dims)
        back = [0] * n
        for i, d in enumerate(ctx.dims):
            back[d] = i  # a negative d counts from the end here too
        return fn.permute(g, tuple(back))

    def reference(self, x: Any, dims: Any) -> Any:
        return np.transpose(x, dims)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 5), (2, 0, 1)), Case(T(2, 3, 5), (-1, 1, 0)), Case(T(0, 3), (1, 0)), Case(T(), ()))
        yield Case(T(2, 1, 3, 2), (0, 2, 3, 1))
        yield Case(T(2, 3), (0,), error=(RuntimeError, "permute: 1 dims (0,) for a tensor of 2 dimensions"))
        yield Case(T(2, 3), (0, 0), error=(RuntimeError, "permute: a dim appears more than once in (0, 0)"))
        yield Case(T(2, 3), (0, 2), error=(IndexError, "permute: dim 2 is out of range"))
