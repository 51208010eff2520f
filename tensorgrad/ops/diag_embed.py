"""diag_embed: vectors on the diagonals of matrices."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim


class DiagEmbed(Op):
    """Zeros with the last dim of the input on a diagonal of two new dims, `dim1` and `dim2` of the result, `offset` above the main one."""

    name = "diag_embed"
    composite = True

    def forward(self, input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
        shape = input.array.shape
        if not shape:
            raise RuntimeError("diag_embed: the tensor has no dimensions")
        n = len(shape) + 1
        a, b = check_dim("diag_embed", dim1, n), check_dim("diag_embed", dim2, n)
        if a == b:
            raise RuntimeError(f"diag_embed: dim1 and dim2 are the same dim {a}")
        side, rest = shape[-1] + abs(offset), iter(shape[:-1])
        return fn.diagonal_backward(input, tuple([side if i in (a, b) else next(rest) for i in range(n)]), offset, a, b)

    def reference(self, x: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
        side = x.shape[-1] + abs(offset)
        out = np.zeros((*x.shape[:-1], side, side))
        for i in range(x.shape[-1]):
            out[..., i + max(-offset, 0), i + max(offset, 0)] = x[..., i]
        return np.moveaxis(out, (-2, -1), (dim1, dim2))

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3)), Case(T(2, 3), 1), Case(T(2, 3), -2), Case(T(2, 3), 0, 0, 2), Case(T(2, 0)), Case(T(2, 3), 1, 2, 0))
        yield Case(T(3), 0, 1, 1, error=(RuntimeError, "diag_embed: dim1 and dim2 are the same dim 1"))
