"""qr: an orthogonal and a triangular factor."""
from __future__ import annotations

from typing import Any, NamedTuple

from ..graph import Node
from ..op import fn
from ..tensor import Tensor
from .shared.matrices import Matrices, matrices


class QR(NamedTuple):
    """What `qr` returns."""

    Q: Tensor
    R: Tensor


class LinalgQr(Matrices):
    """(Q, R) with Q R = A, Q of orthonormal columns, R upper triangular: `mode` "reduced" (Q is m x min(m, n)), "complete" (m x m) or "r".

    Which of the signs it has is LAPACK's. The gradient is for "reduced", and for "complete" with square matrices.
    """

    name = "linalg_qr"
    places = ("linalg.qr",)
    function = method = False
    composite = True
    tested_in = "tests/test_linalg.py"

    def forward(self, A: Tensor, mode: str = "reduced") -> QR:
        return QR(*fn.qr_pair(A, mode))


class QrPair(Matrices):
    """What `linalg.qr` computes."""

    name = "qr_pair"
    function = method = False
    tested_in = "tests/test_linalg.py"

    def forward(self, ctx: Node, A: Tensor, mode: str = "reduced") -> Any:
        matrices("qr", A)
        if mode not in ("reduced", "complete", "r"):
            raise RuntimeError(f"qr: mode must be 'reduced', 'complete' or 'r', not {mode!r}")
        ctx.mode = mode
        out = (A.new_empty(0), self.factor("qr", A, mode="r")) if mode == "r" else tuple(self.factor("qr", A, mode=mode))
        ctx.save(*out)
        return out

    def backward(self, ctx: Node, gq: Tensor, gr: Tensor) -> Tensor:
        q, r = ctx.saved
        if ctx.mode == "reduced" and r.shape[-2] < r.shape[-1]:  # A = (X, Y), R = (U, V): X = Q U, V = Q^T Y
            k = r.shape[-2]
            y, gv = q @ r[..., k:], gr[..., k:]
            return fn.cat([self.square(q, r[..., :k], gq + y @ gv.mT, gr[..., :k]), q @ gv], -1)
        if ctx.mode == "r" or r.shape[-2] != r.shape[-1]:
            raise RuntimeError(f"qr: no gradient for mode {ctx.mode!r} with R of shape {tuple(r.shape)}")
        return self.square(q, r, gq, gr)

    @staticmethod
    def square(q: Tensor, r: Tensor, gq: Tensor, gr: Tensor) -> Tensor:
        """The gradient where R is square."""
        m = r @ gr.mT - gq.mT @ q
        low = fn.tril(m, -1)
        sym = low + low.mT + fn.tril(fn.triu(m))
        return fn.linalg_solve(r, (gq + q @ sym).mT).mT


class Qr(Matrices):
    """(Q, R) with Q R = A: `linalg.qr` by its older name; `some=False` is "complete"."""

    name = "qr"
    composite = True
    tested_in = "tests/test_linalg.py"

    def forward(self, input: Tensor, some: bool = True) -> Any:
        return fn.linalg_qr(input, "reduced" if some else "complete")
