"""nanmedian: the middle element among those that are not NaN."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.reduction import Extremum, ValuesIndices


class Nanmedian(Op):
    """As `median`, without the NaN; NaN where there is nothing else."""

    name = "nanmedian"
    composite = True

    def forward(self, input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
        if dim is None:
            return fn.nanmedian_along(input.reshape(-1), 0)[0] if input.array.size else input.new_full((), math.nan)
        return ValuesIndices(*fn.nanmedian_along(input, dim, keepdim))

    def reference(self, x: Any, dim: Any = None) -> Any:
        v = np.sort(x[~np.isnan(x)])
        return v[(len(v) - 1) // 2]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(values=[3.0, np.nan, 1.0, 2.0, 7.0], grad=False)), Case(T(3, 5, distinct=True)))


class NanmedianAlong(Extremum):
    """(values, indices) of the lower middle along `dim`, without NaN."""

    name = "nanmedian_along"
    function = method = False

    def find(self, xp: Any, x: Any, d: int) -> Any:
        order = xp.argsort(x, axis=d, kind="stable")  # NaN come last
        count = (x == x).sum(axis=d, keepdims=True)
        return xp.take_along_axis(order, xp.maximum(count - 1, 0) // 2, d)

    def reference(self, x: Any, dim: int, keepdim: bool = False) -> Any:
        def middle(v: Any) -> int:
            return int(np.argsort(v)[max((~np.isnan(v)).sum() - 1, 0) // 2])

        index = np.apply_along_axis(middle, dim, x) if x.size else np.zeros([n for i, n in enumerate(x.shape) if i != dim], np.int64)
        value = np.take_along_axis(x, np.expand_dims(index, dim), dim)
        return (value, np.expand_dims(index, dim)) if keepdim else (value.squeeze(dim), index)

    def cases(self) -> Iterable[Case]:
        yield from (case for case in super().cases() if case.args[0].values is None or case.args[0].dtype == "float")
