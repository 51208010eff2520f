"""slogdet, logdet: the sign and the logarithm of determinants."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import fn
from ..tensor import Tensor
from .shared.matrices import Matrices, matrices, regular


class SignLogabsdet(NamedTuple):
    """What `slogdet` returns."""

    sign: Tensor
    logabsdet: Tensor


class Slogdet(Matrices):
    """(sign, ln |det A|) of square matrices; (0, -inf) for singular ones."""

    name = "slogdet"
    places = ("linalg.slogdet",)
    composite = True

    def forward(self, A: Tensor) -> SignLogabsdet:
        return SignLogabsdet(*fn.slogdet_pair(A))

    def reference(self, a: Any) -> Any:
        return tuple(np.linalg.slogdet(a))

    def cases(self) -> Iterable[Case]:
        yield from (Case(regular(3)), Case(regular(2, (2, 3))), Case(T(0, 0)))


class SlogdetPair(Matrices):
    """What `slogdet` computes."""

    name = "slogdet_pair"
    function = method = False

    def forward(self, ctx: Node, A: Tensor) -> Any:
        matrices("slogdet", A, square=True)
        ctx.save(A)
        return tuple(self.factor("slogdet", A))

    def backward(self, ctx: Node, _: Any, g: Tensor) -> Tensor:
        (a,) = ctx.saved
        return g.unsqueeze(-1).unsqueeze(-1) * fn.inverse(a).mT

    def reference(self, a: Any) -> Any:
        return tuple(np.linalg.slogdet(a))

    def cases(self) -> Iterable[Case]:
        yield Case(regular(3))


class Logdet(Matrices):
    """ln det A; NaN where the determinant is negative, -inf where it is 0."""

    name = "logdet"
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        sign, log = fn.slogdet(input)
        return fn.where(sign < 0, float("nan"), log)

    def reference(self, a: Any) -> Any:
        return np.linalg.slogdet(a)[1]

    def cases(self) -> Iterable[Case]:
        yield from (Case(regular(3)), Case(regular(2, (3,))))
