"""dsplit: equal parts of layers (along dim 2)."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Dsplit(Op):
    """`tensor_split` into layers (along dim 2); a number of parts must divide the size."""

    name = "dsplit"
    composite = True

    def forward(self, input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
        if input.array.ndim < 3:
            raise RuntimeError(f"dsplit: expected at least 3 dimensions, got the shape {tuple(input.shape)}")
        dim = 2
        if isinstance(indices_or_sections, int) and (indices_or_sections <= 0 or input.array.shape[dim] % indices_or_sections):
            raise RuntimeError(f"dsplit: {indices_or_sections} equal parts of size {input.array.shape[dim]} in dim {dim} there are none")
        return fn.tensor_split(input, indices_or_sections, dim)

    def reference(self, x: Any, indices_or_sections: Any) -> Any:
        return np.dsplit(x, indices_or_sections)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(4, 6, 2), 2), Case(T(4, 6, 2), (1, 2)))
        yield Case(T(5, 5, 5), 2, error=(RuntimeError, "dsplit: 2 equal parts of size 5"))
