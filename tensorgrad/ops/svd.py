"""svd, svdvals: singular values."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..tensor import Tensor
from .shared.matrices import Matrices, matrices


class SVD(NamedTuple):
    """What `linalg.svd` returns."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class OldSVD(NamedTuple):
    """What `svd` returns: V, not its transpose."""

    U: Tensor
    S: Tensor
    V: Tensor


class LinalgSvd(Matrices):
    """(U, S, V^T) with U diag(S) V^T = A, the singular values falling; with `full_matrices` U is m x m and V n x n.

    The gradient through U and V needs distinct singular values and `full_matrices=False`. Signs are LAPACK's.
    """

    name = "linalg_svd"
    places = ("linalg.svd",)
    function = method = False
    composite = True
    tested_in = "tests/test_linalg.py"

    def forward(self, A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> Any:
        if driver is not None:
            raise RuntimeError(f"svd: driver is for cuSOLVER, which is not used here; got {driver!r}")
        m, n = matrices("svd", A).shape[-2:]
        u, s, vh = fn.thin_svd(A)
        if full_matrices and m != n:  # the rest is any orthonormal completion: no gradient goes there
            full_u, _, full_vh = self.factor("svd", A, full_matrices=True)
            k = min(m, n)
            u = fn.cat([u, full_u[..., :, k:]], -1) if m > n else u
            vh = fn.cat([vh, full_vh[..., k:, :]], -2) if n > m else vh
        return SVD(u, s, vh)


class ThinSvd(Matrices):
    """`linalg.svd` with full_matrices=False."""

    name = "thin_svd"
    function = method = False
    tested_in = "tests/test_linalg.py"

    def forward(self, ctx: Node, A: Tensor) -> Any:
        out = tuple(self.factor("svd", A, full_matrices=False))
        ctx.save(*out)
        return out

    def backward(self, ctx: Node, gu: Tensor, gs: Tensor, gvh: Tensor) -> Tensor:
        u, s, vh = ctx.saved
        squares = s * s
        apart = squares.unsqueeze(-2) - squares.unsqueeze(-1)
        apart = fn.where(apart == 0, float("inf"), apart)
        uu, vv = u.mT @ gu, vh @ gvh.mT
        inner = (uu - uu.mT) / apart * s.unsqueeze(-2) + s.unsqueeze(-1) * ((vv - vv.mT) / apart) + fn.diag_embed(gs)
        gx = u @ inner @ vh
        safe = fn.where(s == 0, float("inf"), s)
        if u.shape[-2] > s.shape[-1]:
            gx = gx + ((gu - u @ uu) / safe.unsqueeze(-2)) @ vh
        if vh.shape[-1] > s.shape[-1]:
            gx = gx + u @ ((gvh - vv.mT @ vh) / safe.unsqueeze(-1))
        return gx


class Svdvals(Matrices):
    """The singular values, falling."""

    name = "svdvals"
    autocast = ("float32", "")
    places = ("linalg.svdvals",)
    function = method = False
    composite = True

    def forward(self, A: Tensor, *, driver: str | None = None) -> Tensor:
        return fn.linalg_svd(A, False, driver=driver)[1]

    def reference(self, a: Any) -> Any:
        return np.linalg.svd(a, compute_uv=False)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5)), Case(T(2, 4, 3)), Case(T(0, 3)))
        yield Case(T(3), error=(RuntimeError, "svd: expected matrices in the last two dimensions, got the shape (3,)"))


class OlderSvd(Matrices):
    """(U, S, V) with U diag(S) V^T = A: `linalg.svd` by its older name, thin unless `some=False`."""

    name = "svd"
    composite = True
    tested_in = "tests/test_linalg.py"

    def forward(self, input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
        if not compute_uv:
            raise RuntimeError("svd: compute_uv=False gives empty factors; linalg.svdvals gives the singular values alone")
        u, s, vh = fn.linalg_svd(input, not some)
        return OldSVD(u, s, vh.mT)
