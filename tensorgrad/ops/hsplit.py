"""hsplit: equal parts of columns (along dim 1; dim 0 of a vector)."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Hsplit(Op):
    """`tensor_split` into columns (along dim 1; dim 0 of a vector); a number of parts must divide the size."""

    name = "hsplit"
    composite = True

    def forward(self, input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
        if input.array.ndim < 1:
            raise RuntimeError(f"hsplit: expected at least 1 dimensions, got the shape {tuple(input.shape)}")
        dim = 0 if input.array.ndim == 1 else 1
        if isinstance(indices_or_sections, int) and (indices_or_sections <= 0 or input.array.shape[dim] % indices_or_sections):
            raise RuntimeError(f"hsplit: {indices_or_sections} equal parts of size {input.array.shape[dim]} in dim {dim} there are none")
        return fn.tensor_split(input, indices_or_sections, dim)

    def reference(self, x: Any, indices_or_sections: Any) -> Any:
        return np.hsplit(x, indices_or_sections)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(4, 6, 2), 2), Case(T(4, 6, 2), (1, 2)), Case(T(6), 3))
        yield Case(T(5, 5, 5), 2, error=(RuntimeError, "hsplit: 2 equal parts of size 5"))
