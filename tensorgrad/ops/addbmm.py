"""addbmm: a sum of products of matrices."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..pointwise import check_broadcast
from ..tensor import Tensor


class Addbmm(Op):
    """beta * input + alpha * the sum over the batch of batch1[b] @ batch2[b]; `input` broadcasts to (n, p)."""

    name = "addbmm"
    autocast = ("lower", "lower")
    inplace = True
    composite = True

    def forward(self, input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        product = fn.bmm(batch1, batch2).sum(0)
        check_broadcast("addbmm", input.array.shape, product.array.shape)
        if np.broadcast_shapes(input.array.shape, product.array.shape) != product.array.shape:
            raise RuntimeError(f"addbmm: input of shape {tuple(input.shape)} does not broadcast to {tuple(product.shape)}")
        product = product if alpha == 1 else product * alpha
        return fn.add(product, input, alpha=beta) if beta else product.clone()

    def reference(self, c: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1) -> Any:
        return beta * c + alpha * np.einsum("bnm,bmp->np", a, b)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 4), T(3, 2, 5), T(3, 5, 4)), Case(T(4), T(3, 2, 5), T(3, 5, 4), beta=0.5, alpha=2.0))
        yield Case(T(3), T(3, 2, 5), T(3, 5, 4), error=(RuntimeError, "addbmm: shapes (3,) and (2, 4) do not broadcast"))
