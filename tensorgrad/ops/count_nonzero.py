"""count_nonzero: how many elements are not zero."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op
from ..tensor import Tensor, wrap
from .shared.reduction import reduced_dims


class CountNonzero(Op):
    """The number of elements that are not zero over `dim` (one, several, or all of them), as int64."""

    name = "count_nonzero"
    differentiable = False

    def forward(self, ctx: Node, input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
        xp = input.device.backend.xp
        dims = reduced_dims("count_nonzero", dim, input.array.ndim)
        return wrap(xp.asarray(xp.count_nonzero(input.array, axis=dims), np.int64), input.device)

    def reference(self, x: Any, dim: Any = None) -> Any:
        return (x != 0).sum(axis=tuple(dim) if isinstance(dim, list) else dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, dtype="bool")), Case(T(3, 5, dtype="int64", low=0, high=2), 1), Case(T(2, 3, 2, dtype="bool"), dim=[0, 2]))
        yield from (Case(T(0)), Case(T(values=[0.0, np.nan, -0.0])), Case(T(dtype="bool")))
