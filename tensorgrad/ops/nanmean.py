"""nanmean: mean without NaN."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dtypes import dtype as DType
from ..op import Op, fn
from ..tensor import Tensor


class Nanmean(Op):
    """The average over `dim` of what is not NaN; NaN where there is nothing."""

    name = "nanmean"
    autocast = ("", "widest")
    composite = True

    def forward(self, input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *,
                dtype: DType | None = None) -> Tensor:
        total = fn.nansum(input, dim, keepdim, dtype=dtype)
        return total / fn.sum(fn.logical_not(input.isnan()), dim, keepdim).to(total.dtype)

    def reference(self, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return np.nanmean(x, axis=dim, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), 1), Case(T(values=[[1.0, np.nan], [np.nan, np.nan]], grad=False), dim=1, keepdim=True), Case(T(7)))
