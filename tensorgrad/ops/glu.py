"""glu: gated linear unit."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor, check_dim


class Glu(Op):
    """y = a * sigmoid(b), where a and b are the halves of the input along `dim` (Dauphin et al., 2017)."""

    name = "glu"
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, dim: int = -1) -> Tensor:
        n = input.shape[check_dim("glu", dim, input.array.ndim)] if input.array.ndim else 1
        if n % 2:
            raise RuntimeError(f"glu: dim {dim} of {tuple(input.shape)} has odd size {n}; it is cut into halves")
        a, b = input.chunk(2, dim)
        return a * b.sigmoid()

    def reference(self, x: Any, dim: int = -1) -> Any:
        a, b = np.split(x, 2, axis=dim)
        return a / (1 + np.exp(-b))

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 4)), Case(T(4, 3), 0), Case(T(2, 6, 3), dim=-2))
        yield Case(T(3, 5), error=(RuntimeError, "glu: dim -1 of (3, 5) has odd size 5"))
