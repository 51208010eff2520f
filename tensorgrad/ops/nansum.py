"""nansum: sum without NaN."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dtypes import dtype as DType
from ..op import Op, fn
from ..tensor import Tensor


class Nansum(Op):
    """The sum over `dim` in which NaN count as zero."""

    name = "nansum"
    autocast = ("", "widest")
    composite = True

    def forward(self, input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *,
                dtype: DType | None = None) -> Tensor:
        return fn.sum(fn.where(input.isnan(), 0.0, input) if input.dtype.is_floating_point else input, dim, keepdim, dtype=dtype)

    def reference(self, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return np.nansum(x, axis=dim, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), 1), Case(T(values=[[1.0, np.nan], [np.nan, np.nan]], grad=False), dim=1, keepdim=True), Case(T(0)))
