"""norm: the norm of a tensor."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..arguments import is_number
from ..cases import Case, T
from ..dtypes import dtype as DType
from ..op import Op, fn
from ..tensor import Tensor


class Norm(Op):
    """The p-norm over `dim` (all by default): (sum |x|^p)^(1/p); "fro" is 2.

    "nuc" is the sum of the singular values of the matrices in two dims; the other norms of matrices are `linalg.norm`'s.
    """

    name = "norm"
    autocast = ("", "float32")
    composite = True

    def forward(self, input: Tensor, p: Any = "fro", dim: int | Sequence[int] | None = None, keepdim: bool = False,
                dtype: DType | None = None) -> Tensor:
        if p == "nuc":
            return fn.matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
        if p is None or p == "fro":
            p = 2
        if isinstance(p, str) and p in ("inf", "-inf"):
            p = float(p)
        if not is_number(p):
            raise RuntimeError(f"norm: p must be a number, 'fro' or 'nuc', not {p!r}")
        return fn.vector_norm(input, p, dim, keepdim, dtype=dtype)

    def reference(self, x: Any, p: Any = 2, dim: Any = None) -> Any:
        if p == "nuc":
            return np.linalg.norm(x, "nuc")
        return np.sqrt((x**2).sum(axis=dim)) if p in (2, "fro") else (np.abs(x) ** p).sum(axis=dim) ** (1 / p)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5)), Case(T(3, 5), 2, 1), Case(T(3, 5), p=1, dim=0), Case(T(3, 5), "fro"))
        yield Case(T(3, 3), "max", error=(RuntimeError, "norm: p must be a number, 'fro' or 'nuc', not 'max'"), torch=False)
