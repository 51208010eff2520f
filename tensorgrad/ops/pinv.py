"""pinv: the pseudo-inverse, and what is made of it."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from .. import dtypes
from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..tensor import Tensor
from .shared.matrices import Matrices, eye_like, matrices, regular


def cutoff(op: str, a: Tensor, atol: Any, rtol: Any) -> tuple[Any, Any]:
    """(atol, rtol) as PyTorch has them: rtol is max(m, n) eps where neither is given."""
    if rtol is None:
        rtol = max(a.shape[-2:]) * dtypes.finfo(a.dtype).eps if atol is None or (not isinstance(atol, Tensor) and atol == 0) else 0.0
    return (0.0 if atol is None else atol), rtol


def threshold(s: Tensor, atol: Any, rtol: Any) -> Tensor:
    """max(atol, rtol * the largest singular value), for each matrix."""
    atol, rtol = (t.unsqueeze(-1) if isinstance(t, Tensor) and t.ndim else t for t in (atol, rtol))
    least = s.amax(-1, True) * rtol
    return fn.maximum(least, atol.to(s.dtype)) if isinstance(atol, Tensor) else fn.clamp_min(least, atol)


class PseudoInverse(Matrices):
    """A^+ (Moore-Penrose), singular values below max(atol, rtol * the largest) taken as 0. A^+ is n x m for A of m x n.

    The gradient is that of Golub and Pereyra, "The differentiation of pseudo-inverses", 1973, for matrices whose rank stays.
    """

    name = "pinv_above"
    function = method = False

    def forward(self, ctx: Node, A: Tensor, atol: Any, rtol: Any) -> Tensor:
        matrices("pinv", A)
        u, s, vh = self.factor("svd", A, full_matrices=False)
        if s.shape[-1]:
            least = threshold(s, atol, rtol)
            inverse = fn.where(s > least, 1.0, 0.0) / fn.where(s > least, s, 1.0)
            y = (vh.mT * inverse.unsqueeze(-2)) @ u.mT
        else:
            y = A.new_zeros((*A.shape[:-2], A.shape[-1], A.shape[-2]))
        ctx.save(A, y)
        return y

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        a, y = ctx.saved
        left = eye_like(a, a.shape[-2]) - a @ y
        right = eye_like(a, a.shape[-1]) - y @ a
        return left @ g.mT @ y @ y.mT + y.mT @ y @ g.mT @ right - y.mT @ g @ y.mT

    def reference(self, a: Any, atol: float, rtol: float) -> Any:
        return np.linalg.pinv(a, rtol)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, 3), 0.0, 1e-6), Case(T(2, 3, 4), 0.0, 1e-6), Case(regular(3), 0.0, 1e-6), Case(T(0, 3), 0.0, 1e-6))


class Pinv(Matrices):
    """A^+ (Moore-Penrose); with `hermitian` A is symmetric. Singular values below max(atol, rtol * the largest) count as 0."""

    name = "linalg_pinv"
    autocast = ("", "widest")
    places = ("linalg.pinv",)
    function = method = False
    composite = True

    def forward(self, A: Tensor, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Tensor:
        matrices("pinv", A, square=hermitian)
        a = (A + A.mT) / 2 if hermitian else A  # the gradient is symmetric then
        return fn.pinv_above(a, *cutoff("pinv", A, atol, rtol))

    def reference(self, a: Any, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
        return np.linalg.pinv(a, 1e-10)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, 3)), Case(T(2, 3, 4)), Case(regular(3), rtol=1e-6))


class Pinverse(Matrices):
    """A^+ by its older name; singular values below rcond times the largest count as 0."""

    name = "pinverse"
    autocast = ("float32", "widest")
    composite = True

    def forward(self, input: Tensor, rcond: float = 1e-15) -> Tensor:
        return fn.pinv_above(input, 0.0, rcond)

    def reference(self, a: Any, rcond: float = 1e-15) -> Any:
        return np.linalg.pinv(a, rcond)

    def cases(self) -> Iterable[Case]:
        yield Case(T(5, 3))


class MatrixRank(Matrices):
    """How many singular values are above max(atol, rtol * the largest), as int64."""

    name = "matrix_rank"
    autocast = ("float32", "")
    places = ("linalg.matrix_rank",)
    function = method = False
    composite = True
    differentiable = False

    def forward(self, A: Tensor, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Tensor:
        matrices("matrix_rank", A, square=hermitian)
        a = A.detach()
        s = fn.svdvals((fn.tril(a) + fn.tril(a, -1).mT) if hermitian else a)
        atol, rtol = cutoff("matrix_rank", A, atol, rtol)
        if not s.shape[-1]:
            return s.sum(-1).long()
        return (s > threshold(s, atol, rtol)).sum(-1)

    def reference(self, a: Any) -> Any:
        return np.linalg.matrix_rank(a)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, grad=False)), Case(T(values=np.ones((2, 3, 3)), grad=False)))


class Solution(NamedTuple):
    """What `lstsq` returns."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


class Lstsq(Matrices):
    """The X of least |A X - B|, of least norm where there are several: A^+ B, with the squared residuals where m > n and the rank is n.

    `driver` is one of LAPACK's names ("gelsy" by default) and decides what is told besides: the rank unless it is "gels", singular values
    for "gelsd" and "gelss". `rcond` cuts singular values off.
    """

    name = "lstsq"
    places = ("linalg.lstsq",)
    function = method = False
    composite = True
    tested_in = "tests/test_linalg.py"

    def forward(self, A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
        matrices("lstsq", A)
        if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
            raise RuntimeError(f"lstsq: driver must be 'gels', 'gelsy', 'gelsd' or 'gelss', not {driver!r}")
        vectors = B.ndim == A.ndim - 1
        b = B.unsqueeze(-1) if vectors else B
        x = fn.linalg_pinv(A, rtol=rcond) @ b
        rank = fn.matrix_rank(A, rtol=rcond)
        full = A.shape[-2] > A.shape[-1] and bool((rank == A.shape[-1]).all())
        errors = A @ x - b
        left = errors.square().sum(-2) if full and driver != "gelsy" and driver is not None else errors.reshape(-1)[:0]
        values = fn.svdvals(A.detach()) if driver in ("gelsd", "gelss") else A.detach().new_empty(0)
        return Solution(x.squeeze(-1) if vectors else x, left, rank if driver != "gels" else rank.new_empty(0), values)
