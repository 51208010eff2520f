"""inner: products along the last dimensions."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Inner(Op):
    """out[..., ...] = the sum over the last dims of input and other; a product where one has no dimensions."""

    name = "inner"
    composite = True

    def forward(self, input: Tensor, other: Tensor) -> Tensor:
        if not input.ndim or not other.ndim:
            return input * other
        if input.shape[-1] != other.shape[-1]:
            raise RuntimeError(f"inner: the last sizes of {tuple(input.shape)} and {tuple(other.shape)} differ")
        return fn.tensordot(input, other, ([-1], [-1]))

    def reference(self, a: Any, b: Any) -> Any:
        return np.inner(a, b)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3), T(3)), Case(T(2, 3), T(4, 3)), Case(T(2, 3), T(3)), Case(T(), T(2, 3)))
        yield Case(T(3), T(4), error=(RuntimeError, "inner: the last sizes of (3,) and (4,) differ"))
