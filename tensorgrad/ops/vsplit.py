"""vsplit: equal parts of rows (along dim 0)."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Vsplit(Op):
    """`tensor_split` into rows (along dim 0); a number of parts must divide the size."""

    name = "vsplit"
    composite = True

    def forward(self, input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
        if input.array.ndim < 2:
            raise RuntimeError(f"vsplit: expected at least 2 dimensions, got the shape {tuple(input.shape)}")
        dim = 0
        if isinstance(indices_or_sections, int) and (indices_or_sections <= 0 or input.array.shape[dim] % indices_or_sections):
            raise RuntimeError(f"vsplit: {indices_or_sections} equal parts of size {input.array.shape[dim]} in dim {dim} there are none")
        return fn.tensor_split(input, indices_or_sections, dim)

    def reference(self, x: Any, indices_or_sections: Any) -> Any:
        return np.vsplit(x, indices_or_sections)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(4, 6, 2), 2), Case(T(4, 6, 2), (1, 2)))
        yield Case(T(5, 5, 5), 2, error=(RuntimeError, "vsplit: 2 equal parts of size 5"))
