"""combinations: choices of r elements."""
from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor, wrap


class Combinations(Op):
    """Rows of all choices of `r` elements of a vector, in order; with_replacement allows one to be chosen again."""

    name = "combinations"
    composite = True

    def forward(self, input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
        if input.ndim != 1:
            raise RuntimeError(f"combinations: expected a vector, got the shape {tuple(input.shape)}")
        if r < 0:
            raise RuntimeError(f"combinations: r must not be negative, got {r}")
        if r == 0:
            return input.new_empty((0,))
        choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
        index = np.array(list(choose(range(input.shape[0]), r)), np.int64).reshape(-1, r)
        return input[wrap(input.device.backend.asarray(index), input.device)]

    def reference(self, x: Any, r: int = 2, with_replacement: bool = False) -> Any:
        choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
        return np.array(list(choose(x, r))).reshape(-1, r)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(4)), Case(T(4), 3), Case(T(3), 2, True), Case(T(2), 3))
        yield Case(T(2, 2), error=(RuntimeError, "combinations: expected a vector, got the shape (2, 2)"))
