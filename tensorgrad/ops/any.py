"""any: whether some element is true."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import rung
from ..pointwise import ALL_TYPES
from ..tensor import Tensor, wrap
from .shared.reduction import Reduction, reduced_dims


class Any_(Reduction):
    """Whether any element is true (not zero; NaN is) over `dim` (one, several, or all of them), as a bool (uint8 for uint8)."""

    name = "any"
    differentiable = False

    def forward(self, ctx: Node, input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        x = input.array
        dims = reduced_dims("any", dim, x.ndim)
        y = self.kernel(input.device, x)(x, dims, keepdim, np.dtype(np.bool_))
        return wrap(y.astype(x.dtype) if x.dtype == np.uint8 else y, input.device)

    @staticmethod
    @rung("cpu/numpy", ALL_TYPES, writes=())
    def in_numpy(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, kind: Any) -> Any:
        """The array module's."""
        return xp.any(x, axis=dims, keepdims=keepdim)

    def result_bytes(self, kind: Any) -> int:
        return 1

    def reference(self, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return (x != 0).sum(axis=tuple(dim) if isinstance(dim, list) else dim, keepdims=keepdim) > 0

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, dtype="bool")), Case(T(3, 2, dtype="bool"), 1), Case(T(2, 3, 2, dtype="bool"), dim=[0, 2], keepdim=True))
        yield from (Case(T(0)), Case(T(2, 0), 1), Case(T(dtype="bool")), Case(T(values=[[0.0, np.nan], [0.0, 0.0]]), 1))
        yield from (Case(T(4, dtype="uint8", low=0, high=2)), Case(T(2, 3), 2, error=(IndexError, "any: dim 2 is out of range")))
