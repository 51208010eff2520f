"""narrow: a range of one dimension."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import dtypes
from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim

ALL = slice(None)


class Narrow(Op):
    """A view of the indices `start` to `start + length - 1` of dim `dim`; a negative start counts from the end."""

    name = "narrow"
    composite = True

    def forward(self, input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
        shape = input.array.shape
        if not shape:
            raise RuntimeError("narrow: the tensor has no dimensions")
        d = check_dim("narrow", dim, len(shape))
        if isinstance(start, Tensor) and (start.array.ndim or start.dtype.category != dtypes.INTEGER):
            raise RuntimeError(f"narrow: start must be an integer without dimensions, it is {start.dtype.name} of shape "
                               f"{tuple(start.shape)}")
        start = int(start)
        first = start + shape[d] if start < 0 else start
        if first < 0 or length < 0 or first + length > shape[d]:
            raise RuntimeError(f"narrow: start {start} and length {length} do not fit into dim {d} of size {shape[d]}")
        return fn.getitem(input, (ALL,) * d + (slice(first, first + length),))

    def reference(self, x: Any, dim: int, start: int, length: int) -> Any:
        return x.take(range(start % max(x.shape[dim], 1), start % max(x.shape[dim], 1) + length), dim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, 3), 0, 1, 3), Case(T(5, 3), -1, -2, 2), Case(T(5, 3), 1, 0, 0), Case(T(2, 5, 3), 1, 4, 1))
        yield Case(T(5, 3), 1, 2, 2, error=(RuntimeError, "narrow: start 2 and length 2 do not fit into dim 1 of size 3"))
