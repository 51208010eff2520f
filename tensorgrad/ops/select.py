"""select: one index of a dimension."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim
from .narrow import ALL


class Select(Op):
    """A view of the part at `index` of dim `dim`, without that dim."""

    name = "select"
    composite = True

    def forward(self, input: Tensor, dim: int, index: int) -> Tensor:
        shape = input.array.shape
        if not shape:
            raise IndexError("select: the tensor has no dimensions")
        d = check_dim("select", dim, len(shape))
        if not -shape[d] <= index < shape[d]:
            raise IndexError(f"select: index {index} is out of range for dim {d} of size {shape[d]}")
        return fn.getitem(input, (ALL,) * d + (index,))

    def reference(self, x: Any, dim: int, index: int) -> Any:
        return x.take(index, dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, 3), 0, 1), Case(T(5, 3), -1, -2), Case(T(2, 0, 3), 2, 0), Case(T(4), 0, 3))
        yield Case(T(5, 3), 1, 3, error=(IndexError, "select: index 3 is out of range for dim 1 of size 3"))
