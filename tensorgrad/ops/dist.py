"""dist: the p-norm of a difference."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Dist(Op):
    """The p-norm of input - other, with broadcasting."""

    name = "dist"
    autocast = ("", "float32")
    composite = True

    def forward(self, input: Tensor, other: Tensor, p: float = 2) -> Tensor:
        return fn.vector_norm(input - other, p)

    def reference(self, x: Any, y: Any, p: float = 2) -> Any:
        return (np.abs(x - y) ** p).sum() ** (1 / p)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(5)), Case(T(4), T(4), 3))
