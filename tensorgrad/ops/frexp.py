"""frexp: mantissa and exponent."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..pointwise import QUIET
from ..tensor import Tensor, wrap


class MantissaExponent(NamedTuple):
    """What `frexp` returns."""

    mantissa: Tensor
    exponent: Tensor


class Frexp(Op):
    """(mantissa, exponent) with input = mantissa * 2^exponent and 0.5 <= |mantissa| < 1; the exponent is int32."""

    name = "frexp"
    composite = True

    def forward(self, input: Tensor) -> MantissaExponent:
        return MantissaExponent(*fn.frexp_pair(input))

    def reference(self, x: Any) -> Any:
        return np.frexp(x)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), smooth=False), Case(T(0), smooth=False))


class FrexpPair(Op):
    """What `frexp` computes."""

    name = "frexp_pair"
    function = method = False
    smooth = False

    def forward(self, ctx: Node, input: Tensor) -> Any:
        if not input.dtype.is_floating_point:
            raise RuntimeError(f"frexp: needs a floating tensor, got {input.dtype.name}; convert with .float()")
        x = input.array.astype(np.float32) if input.dtype.itemsize == 2 else input.array
        m, e = QUIET.run(input.device.backend.xp.frexp, x)
        m, e = wrap(m.astype(input.array.dtype), input.device), wrap(e.astype(np.int32), input.device)
        ctx.save(e)
        return m, e

    def backward(self, ctx: Node, g: Tensor, _: Any) -> Tensor:
        (e,) = ctx.saved
        return g * (-e).to(g.dtype).exp2()

    def reference(self, x: Any) -> Any:
        return np.frexp(x)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5)), Case(T(0)), Case(T(values=[1.0, 0.5, -8.0, 0.0], grad=False)))
        yield Case(T(3, dtype="int64"), error=(RuntimeError, "frexp: needs a floating tensor, got int64"))
