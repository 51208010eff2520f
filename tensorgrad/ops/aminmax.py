"""aminmax: smallest and largest element."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class MinMax(NamedTuple):
    """What `aminmax` returns."""

    min: Tensor
    max: Tensor


class Aminmax(Op):
    """(min, max) along `dim`, or of all elements."""

    name = "aminmax"
    composite = True

    def forward(self, input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> MinMax:
        dims = () if dim is None else (dim,)
        return MinMax(fn.amin(input, dims, keepdim), fn.amax(input, dims, keepdim))

    def reference(self, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return x.min(axis=dim, keepdims=keepdim), x.max(axis=dim, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, distinct=True)), Case(T(3, 5, distinct=True), dim=1, keepdim=True))
