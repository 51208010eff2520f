"""flatten: several dimensions as one."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim


class Flatten(Op):
    """The dims `start_dim` to `end_dim` (inclusive) as one; a view where strides allow it. A scalar becomes 1-dimensional."""

    name = "flatten"
    composite = True

    def forward(self, input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        shape = input.array.shape
        start, end = check_dim("flatten", start_dim, len(shape)), check_dim("flatten", end_dim, len(shape))
        if start > end:
            raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} in a tensor of shape {tuple(shape)}")
        if start == end and shape:
            return input
        n = 1
        for s in shape[start:end + 1]:
            n *= s
        return fn.reshape(input, (*shape[:start], n, *shape[end + 1:]))

    def reference(self, x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
        shape = x.shape or (1,)
        start, end = start_dim % len(shape), end_dim % len(shape)
        n = 1
        for s in shape[start:end + 1]:
            n *= s
        return x.reshape(*shape[:start], n, *shape[end + 1:])

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 5)), Case(T(2, 3, 5), 1), Case(T(2, 3, 5), 0, 1), Case(T()), Case(T(2, 0, 3), 1), Case(T(3), -1))
        yield Case(T(2, 3), 1, 0, error=(RuntimeError, "flatten: start_dim 1 comes after end_dim 0"))
        yield Case(T(2, 3), 2, error=(IndexError, "flatten: dim 2 is out of range"))
