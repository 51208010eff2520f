"""matrix_norm, linalg.norm, cond: norms of matrices."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dtypes import dtype as DType
from ..op import fn
from ..tensor import Tensor, check_dim
from .shared.matrices import Matrices, matrices


class MatrixNorm(Matrices):
    """A norm of the matrices in the two dims `dim`: "fro" (root of the sum of squares), "nuc" (sum of the singular values),
    inf / -inf (largest / smallest sum of a row), 1 / -1 (of a column), 2 / -2 (largest / smallest singular value)."""

    name = "matrix_norm"
    places = ("linalg.matrix_norm",)
    function = method = False
    composite = True

    def forward(self, A: Tensor, ord: Any = "fro", dim: Sequence[int] = (-2, -1), keepdim: bool = False, *,
                dtype: DType | None = None) -> Tensor:
        if A.ndim < 2:
            raise RuntimeError(f"matrix_norm: expected matrices, got the shape {tuple(A.shape)}")
        if not A.dtype.is_floating_point:
            raise RuntimeError(f"matrix_norm: needs a floating dtype, got {A.dtype.name}; convert with .float()")
        x = A if dtype is None else A.to(dtype)
        rows, columns = (check_dim("matrix_norm", d, A.ndim) for d in dim)
        if rows == columns:
            raise RuntimeError(f"matrix_norm: the dims must differ, got {tuple(dim)}")
        if ord == "fro":
            return fn.vector_norm(x, 2, [rows, columns], keepdim)
        if ord in ("nuc", 2, -2):
            s = fn.svdvals(fn.movedim(x, (rows, columns), (-2, -1)))
            y = s.sum(-1) if ord == "nuc" else s.amax(-1) if ord == 2 else s.amin(-1)
            return y.unsqueeze(min(rows, columns)).unsqueeze(max(rows, columns)) if keepdim else y
        if ord not in (1, -1, float("inf"), float("-inf")):
            raise RuntimeError(f"matrix_norm: ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, not {ord!r}")
        first, second = (columns, rows) if abs(ord) != 1 else (rows, columns)
        sums = x.abs().sum(first, True)
        y = sums.amax(second, True) if ord > 0 else sums.amin(second, True)
        return y if keepdim else y.squeeze((rows, columns))

    def reference(self, a: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False) -> Any:
        return np.linalg.norm(a, ord, tuple(dim), keepdim)

    def cases(self) -> Iterable[Case]:
        for ord in ("fro", "nuc", 1, -1, 2, -2, float("inf"), float("-inf")):
            yield Case(T(3, 5, distinct=True, high=2.3), ord, smooth=ord in ("fro", "nuc", 2, -2))
        yield from (Case(T(2, 3, 4), "fro", (0, 2), True), Case(T(2, 3, 4, distinct=True, high=2.3), 1, (2, 0), smooth=False))
        yield Case(T(3, 3), 3, error=(RuntimeError, "matrix_norm: ord must be 'fro', 'nuc', 1"))


class LinalgNorm(Matrices):
    """Of all elements (`ord`, `dim` None: the 2-norm), of vectors (one `dim`, or a vector) or of matrices (two dims, or a matrix)."""

    name = "linalg_norm"
    places = ("linalg.norm",)
    function = method = False
    composite = True

    def forward(self, A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
        dims = None if dim is None else [dim] if isinstance(dim, int) else list(dim)
        if ord is not None and dims is None and A.ndim not in (1, 2):
            raise RuntimeError(f"linalg.norm: with ord and without dim the tensor must have 1 or 2 dimensions, it has {A.ndim}")
        if isinstance(ord, str) or (ord is not None and (len(dims) if dims is not None else A.ndim) == 2):
            return fn.matrix_norm(A, ord, (-2, -1) if dims is None else dims, keepdim, dtype=dtype)
        return fn.vector_norm(A, 2 if ord is None else ord, dims, keepdim, dtype=dtype)

    def reference(self, a: Any, ord: Any = None, dim: Any = None, keepdim: bool = False) -> Any:
        return np.linalg.norm(a, ord, dim, keepdim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5)), Case(T(7), 3), Case(T(3, 5), "nuc"), Case(T(2, 3, 5), 1, 1, smooth=False))
        yield Case(T(2, 3, 5), "fro", (0, 1), True)


class Cond(Matrices):
    """The condition number: the norm of A times that of its inverse; for `p` None, 2 and -2 the quotient of singular values."""

    name = "cond"
    places = ("linalg.cond",)
    function = method = False
    composite = True

    def forward(self, A: Tensor, p: Any = None) -> Tensor:
        if p in (None, 2, -2):
            s = fn.svdvals(A)
            return s[..., 0] / s[..., -1] if p != -2 else s[..., -1] / s[..., 0]
        matrices("cond", A, square=True)
        return fn.matrix_norm(A, p) * fn.matrix_norm(fn.inverse(A), p)

    def reference(self, a: Any, p: Any = None) -> Any:
        return np.linalg.cond(a, p)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5)), Case(T(2, 4, 3), 2))
