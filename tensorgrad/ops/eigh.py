"""eigh, eigvalsh: eigenvalues of symmetric matrices."""
from __future__ import annotations

from typing import Any, NamedTuple

from ..graph import Node
from ..op import fn
from ..tensor import Tensor
from .shared.matrices import Matrices, eye_like, matrices


class Eigh(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class LinalgEigh(Matrices):
    """(eigenvalues in rising order, eigenvectors as columns) of symmetric matrices, of which one triangle (`UPLO`) is looked at.

    The gradient through the eigenvectors needs distinct eigenvalues. Their signs are LAPACK's.
    """

    name = "eigh"
    places = ("linalg.eigh",)
    function = method = False
    composite = True
    tested_in = "tests/test_linalg.py"

    def forward(self, A: Tensor, UPLO: str = "L") -> Eigh:
        return Eigh(*fn.eigh_pair(A, UPLO))


class EighPair(Matrices):
    """What `linalg.eigh` computes."""

    name = "eigh_pair"
    function = method = False
    tested_in = "tests/test_linalg.py"

    def forward(self, ctx: Node, A: Tensor, UPLO: str = "L") -> Any:
        matrices("eigh", A, square=True)
        if UPLO not in ("L", "U", "l", "u"):
            raise RuntimeError(f"eigh: UPLO must be 'L' or 'U', not {UPLO!r}")
        out = tuple(self.factor("eigh", A, UPLO=UPLO.upper()))
        ctx.save(*out)
        return out

    def backward(self, ctx: Node, gw: Tensor, gv: Tensor) -> Tensor:
        w, v = ctx.saved
        apart = w.unsqueeze(-2) - w.unsqueeze(-1)
        same = eye_like(w, w.shape[-1])
        inner = v.mT @ gv / (apart + same) * (1 - same) + fn.diag_embed(gw)
        return v @ inner @ v.mT


class Eigvalsh(Matrices):
    """The eigenvalues of symmetric matrices in rising order."""

    name = "eigvalsh"
    places = ("linalg.eigvalsh",)
    function = method = False
    composite = True
    tested_in = "tests/test_linalg.py"

    def forward(self, A: Tensor, UPLO: str = "L") -> Tensor:
        return fn.eigh(A, UPLO)[0]
