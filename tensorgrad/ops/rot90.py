"""rot90: a plane turned by quarter turns."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim


class Rot90(Op):
    """The plane of the two `dims` turned by k * 90 degrees, from the first dim towards the second."""

    name = "rot90"
    composite = True

    def forward(self, input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
        if len(dims) != 2:
            raise RuntimeError(f"rot90: expected two dims, got {tuple(dims)}")
        a, b = (check_dim("rot90", d, input.array.ndim) for d in dims)
        if a == b:
            raise RuntimeError(f"rot90: the two dims must differ, got {tuple(dims)}")
        k %= 4
        if k == 0:
            return fn.clone(input)
        if k == 2:
            return fn.flip(input, (a, b))
        return fn.transpose(fn.flip(input, (b,)), a, b) if k == 1 else fn.flip(fn.transpose(input, a, b), (b,))

    def reference(self, x: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
        return np.rot90(x, k, dims)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 4)), Case(T(3, 4), 2), Case(T(3, 4), -1), Case(T(2, 3, 4), 3, (1, 2)), Case(T(2, 3), 4))
        yield Case(T(2, 3), 1, [1, 0])
        yield Case(T(3, 4), 1, (0, 0), error=(RuntimeError, "rot90: the two dims must differ, got (0, 0)"))
