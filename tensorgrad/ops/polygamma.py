"""polygamma: derivatives of digamma."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..pointwise import QUIET
from ..tensor import Tensor, wrap
from .shared.gamma import digamma, polygamma


class Polygamma(Op):
    """The n-th derivative of digamma(input), n >= 0."""

    name = "polygamma"
    places = ("special.polygamma",)
    method = False

    def forward(self, ctx: Node, n: int, input: Tensor) -> Tensor:
        if n < 0:
            raise RuntimeError(f"polygamma: n must not be negative, got {n}")
        x = input if input.dtype.is_floating_point else input.float()
        xp = x.device.backend.xp
        y = QUIET.run(polygamma, xp, n, x.array) if n else QUIET.run(digamma, xp, x.array)
        ctx.n = n
        ctx.save(input)
        return wrap(y, input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return g * fn.polygamma(ctx.n + 1, x)

    def reference(self, n: int, x: Any) -> Any:
        if n == 0:
            return fn.digamma.op.reference(x)
        terms = sum(1 / (x + k) ** (n + 1) for k in range(300))
        end = x + 300
        rest = end ** float(-n) / n + 0.5 * end ** float(-n - 1) + (n + 1) / 12 * end ** float(-n - 2)
        return (-1) ** (n + 1) * math.factorial(n) * (terms + rest)

    def cases(self) -> Iterable[Case]:
        for n in (0, 1, 2, 4):
            yield Case(n, T(7, low=0.4, high=5.0), torch=n != 1)  # the trigamma of PyTorch has 8 digits
        yield from (Case(2, T(3, 2, low=0.4)), Case(2, T(0)), Case(2, T(low=0.4)))
        yield Case(1, T(values=[-0.5, -3.25, 40.0], grad=False), torch=False)
        yield Case(-1, T(3), error=(RuntimeError, "polygamma: n must not be negative, got -1"))


def _method(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma of this tensor."""
    return fn.polygamma(n, self)


Tensor.polygamma = _method  # type: ignore[attr-defined]
