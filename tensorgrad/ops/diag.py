"""diag: the diagonal of a matrix, or a matrix with a diagonal."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Diag(Op):
    """A matrix with the vector on its diagonal `diagonal`; of a matrix, a copy of that diagonal."""

    name = "diag"
    composite = True

    def forward(self, input: Tensor, diagonal: int = 0) -> Tensor:
        if input.array.ndim == 1:
            return fn.diag_embed(input, diagonal)
        if input.array.ndim != 2:
            raise RuntimeError(f"diag: expected a vector or a matrix, got the shape {tuple(input.shape)}; diagonal() and diag_embed() "
                               "take batches")
        return fn.clone(fn.diagonal(input, diagonal))

    def reference(self, x: Any, diagonal: int = 0) -> Any:
        return np.diag(x, diagonal)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3)), Case(T(3), 2), Case(T(3), diagonal=-1), Case(T(3, 4)), Case(T(3, 4), 1), Case(T(3, 4), -2), Case(T(0)))
        yield Case(T(2, 3, 4), error=(RuntimeError, "diag: expected a vector or a matrix, got the shape (2, 3, 4)"))
