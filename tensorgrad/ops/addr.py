"""addr: an outer product added."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..pointwise import check_broadcast
from ..tensor import Tensor


class Addr(Op):
    """beta * input + alpha * the outer product of two vectors; `input` broadcasts to (n, m)."""

    name = "addr"
    autocast = ("", "lower")
    inplace = True
    composite = True

    def forward(self, input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        if vec1.ndim != 1 or vec2.ndim != 1:
            raise RuntimeError(f"addr: vec1 and vec2 must be vectors, got the shapes {tuple(vec1.shape)} and {tuple(vec2.shape)}")
        shape = (vec1.array.shape[0], vec2.array.shape[0])
        check_broadcast("addr", input.array.shape, shape)
        if np.broadcast_shapes(input.array.shape, shape) != shape:
            raise RuntimeError(f"addr: input of shape {tuple(input.shape)} does not broadcast to {shape}")
        if vec1.dtype.name == "bool":
            product = fn.logical_and(vec1.unsqueeze(1), vec2)
            return fn.logical_or(input, product) if beta and alpha else product
        product = vec1.unsqueeze(1) * vec2
        product = product if alpha == 1 else product * alpha
        return fn.add(product, input, alpha=beta) if beta else product

    def reference(self, c: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1) -> Any:
        return beta * c + alpha * np.outer(a, b)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 4), T(2), T(4)), Case(T(4), T(2), T(4), beta=0.5, alpha=2.0), Case(T(0), T(3), T(0)))
        yield Case(T(3), T(2), T(4), error=(RuntimeError, "addr: shapes (3,) and (2, 4) do not broadcast"))
