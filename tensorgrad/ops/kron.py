"""kron: the Kronecker product."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor


class Kron(Op):
    """Each element of `input` times the whole of `other`, side by side: sizes multiply, missing dims in front count 1."""

    name = "kron"
    composite = True

    def forward(self, input: Tensor, other: Tensor) -> Tensor:
        n = max(input.array.ndim, other.array.ndim)
        a = (1,) * (n - input.array.ndim) + input.array.shape
        b = (1,) * (n - other.array.ndim) + other.array.shape
        x = input.reshape(tuple([m for s in a for m in (s, 1)]))  # (a0, 1, a1, 1, ...)
        y = other.reshape(tuple([m for s in b for m in (1, s)]))  # (1, b0, 1, b1, ...)
        return (x * y).reshape(tuple([s * t for s, t in zip(a, b, strict=True)]))

    def reference(self, x: Any, other: Any) -> Any:
        return np.kron(x, other)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3), T(3, 2)), Case(T(2), T(2, 3)), Case(T(), T(3)), Case(T(2, 1, 2), T(2, 2)))
