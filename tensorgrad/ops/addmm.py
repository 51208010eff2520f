"""addmm, addmv, baddbmm: beta * input + alpha * (a @ b)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


def scaled_sum(op: str, input: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    """beta * input + alpha * product, where `input` must broadcast to the product. With beta = 0 NaN in `input` is ignored."""
    shape, want = input.array.shape, product.array.shape
    if len(shape) > len(want) or any(s not in (1, w) for s, w in zip(shape[::-1], want[::-1], strict=False)):
        raise RuntimeError(f"{op}: input of shape {tuple(shape)} does not broadcast to the product's shape {tuple(want)}")
    if input.dtype is not product.dtype:
        raise RuntimeError(f"{op}: input is {input.dtype.name} but the product is {product.dtype.name}; convert one with .to(...)")
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return product
    return fn.add(product, input, alpha=beta)


class Addmm(Op):
    """beta * input + alpha * (mat1 @ mat2); `input` broadcasts to (n, p)."""

    name = "addmm"
    composite = True

    def forward(self, input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        return scaled_sum("addmm", input, fn.mm(mat1, mat2), beta, alpha)

    def reference(self, c: Any, x: Any, y: Any, beta: float = 1, alpha: float = 1) -> Any:
        return beta * c + alpha * np.einsum("nm,mp->np", x, y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2), T(3, 5), T(5, 2)), Case(T(3, 2), T(3, 5), T(5, 2), beta=0.5, alpha=-2), Case(T(3, 1), T(3, 0), T(0, 2)))
        yield Case(T(3), T(3, 5), T(5, 2),
                   error=(RuntimeError, "addmm: input of shape (3,) does not broadcast to the product's shape (3, 2)"))


class Addmv(Op):
    """beta * input + alpha * (mat @ vec); `input` broadcasts to (n,)."""

    name = "addmv"
    composite = True

    def forward(self, input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        return scaled_sum("addmv", input, fn.mv(mat, vec), beta, alpha)

    def reference(self, c: Any, x: Any, y: Any, beta: float = 1, alpha: float = 1) -> Any:
        return beta * c + alpha * np.einsum("nm,m->n", x, y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3), T(3, 5), T(5)), Case(T(1), T(3, 5), T(5), beta=0.5, alpha=-2))
        yield Case(T(2), T(3, 5), T(5), error=(RuntimeError, "addmv: input of shape (2,) does not broadcast"))


class Baddbmm(Op):
    """beta * input + alpha * (batch1 @ batch2), batch by batch; `input` broadcasts to (b, n, p)."""

    name = "baddbmm"
    composite = True

    def forward(self, input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        return scaled_sum("baddbmm", input, fn.bmm(batch1, batch2), beta, alpha)

    def reference(self, c: Any, x: Any, y: Any, beta: float = 1, alpha: float = 1) -> Any:
        return beta * c + alpha * np.einsum("bnm,bmp->bnp", x, y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 4), T(2, 3, 5), T(2, 5, 4)), Case(T(1, 4), T(2, 3, 5), T(2, 5, 4), beta=2, alpha=0.5))
        yield Case(T(3, 3, 4), T(2, 3, 5), T(2, 5, 4), error=(RuntimeError, "baddbmm: input of shape (3, 3, 4) does not broadcast"))
