"""unflatten: one dimension as several."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim
from .reshape import resolve


class Unflatten(Op):
    """A view with dim `dim` split into dims of `sizes`, one of which may be -1."""

    name = "unflatten"
    composite = True

    def forward(self, input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
        shape = input.array.shape
        d = check_dim("unflatten", dim, len(shape))
        if not sizes:
            raise RuntimeError("unflatten: sizes must not be empty")
        return fn.reshape(input, (*shape[:d], *resolve("unflatten", shape[d:d + 1], tuple(sizes)), *shape[d + 1:]))

    def reference(self, x: Any, dim: int, sizes: Any) -> Any:
        d = dim % x.ndim
        return x.reshape(*x.shape[:d], *sizes, *x.shape[d + 1:])

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(6, 4), 0, (2, 3)), Case(T(2, 12), -1, [3, -1]), Case(T(0, 4), 1, (2, 2)))
        yield Case(T(6, 4), 0, (4, 2), error=(RuntimeError, "unflatten: 6 elements of shape (6,) do not fit the shape (4, 2)"))
