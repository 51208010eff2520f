"""addmm, addmv, baddbmm: beta * input + alpha * (a @ b)."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .gemm import check_addend
from .mm import expect_dims, expect_one_batch
from .shared.product import check_operands


def scaled_sum(op: str, input: Tensor, mat1: Tensor, mat2: Tensor, beta: float, alpha: float) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2), where `input` must broadcast to the product. With beta = 0 NaN in `input` is ignored."""
    check_operands(op, mat1, mat2)
    check_addend(op, "input", input, mat1, mat2)
    if mat1.dtype.is_floating_point:
        return fn.gemm(mat1, mat2, input, alpha=alpha, beta=beta)
    product = fn.matmul(mat1, mat2)
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return product
    return fn.add(product, input, alpha=beta)


class Addmm(Op):
    """beta * input + alpha * (mat1 @ mat2); `input` broadcasts to (n, p)."""

    name = "addmm"
    autocast = ("lower", "lower")
    composite = True
    inplace = True

    def forward(self, input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        expect_dims("addmm", mat1=(mat1, 2), mat2=(mat2, 2))
        return scaled_sum("addmm", input, mat1, mat2, beta, alpha)

    def reference(self, c: Any, x: Any, y: Any, beta: float = 1, alpha: float = 1) -> Any:
        return (beta * c if beta else 0) + alpha * np.einsum("nm,mp->np", x, y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2), T(3, 5), T(5, 2)), Case(T(3, 2), T(3, 5), T(5, 2), beta=0.5, alpha=-2), Case(T(3, 1), T(3, 0), T(0, 2)),
                    Case(T(3, 2, values=[[math.nan] * 2] * 3, grad=False), T(3, 5), T(5, 2), beta=0),
                    Case(T(1, 7), T(3, 5), T(5, 7), alpha=3),
                    Case(T(2, dtype="int64", high=5), T(3, 5, dtype="int64", high=5), T(5, 2, dtype="int64", high=5), beta=2, alpha=3))
        yield Case(T(3, 2), T(3, 4), T(5, 2), error=(RuntimeError, "addmm: dim 1 of (3, 4) is 4 but dim 0 of (5, 2) is 5"))
        yield Case(T(3, 2, dtype="int64"), T(3, 5), T(5, 2), error=(RuntimeError, "addmm: input is int64 but the product is float32"))
        yield Case(T(3), T(3, 5), T(5, 2),
                   error=(RuntimeError, "addmm: input of shape (3,) does not broadcast to the product's shape (3, 2)"))


class Addmv(Op):
    """beta * input + alpha * (mat @ vec); `input` broadcasts to (n,)."""

    name = "addmv"
    autocast = ("widest", "lower")
    composite = True
    inplace = True

    def forward(self, input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        expect_dims("addmv", mat=(mat, 2), vec=(vec, 1))
        return scaled_sum("addmv", input, mat, vec, beta, alpha)

    def reference(self, c: Any, x: Any, y: Any, beta: float = 1, alpha: float = 1) -> Any:
        return beta * c + alpha * np.einsum("nm,m->n", x, y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3), T(3, 5), T(5)), Case(T(1), T(3, 5), T(5), beta=0.5, alpha=-2))
        yield Case(T(2), T(3, 5), T(5), error=(RuntimeError, "addmv: input of shape (2,) does not broadcast"))


class Baddbmm(Op):
    """beta * input + alpha * (batch1 @ batch2), batch by batch; `input` broadcasts to (b, n, p)."""

    name = "baddbmm"
    autocast = ("lower", "lower")
    composite = True
    inplace = True

    def forward(self, input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        expect_dims("baddbmm", batch1=(batch1, 3), batch2=(batch2, 3))
        expect_one_batch("baddbmm", batch1, batch2)
        return scaled_sum("baddbmm", input, batch1, batch2, beta, alpha)

    def reference(self, c: Any, x: Any, y: Any, beta: float = 1, alpha: float = 1) -> Any:
        return beta * c + alpha * np.einsum("bnm,bmp->bnp", x, y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 4), T(2, 3, 5), T(2, 5, 4)), Case(T(1, 4), T(2, 3, 5), T(2, 5, 4), beta=2, alpha=0.5))
        yield Case(T(3, 3, 4), T(2, 3, 5), T(2, 5, 4), error=(RuntimeError, "baddbmm: input of shape (3, 3, 4) does not broadcast"))
