"""median: the middle element."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.reduction import Extremum, ValuesIndices


class Median(Op):
    """`median(x)`: the lower middle of all elements; `median(x, dim)`: (values, indices) along a dimension. NaN wins.

    The gradient goes to the chosen element.
    """

    name = "median"
    composite = True

    def forward(self, input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
        if dim is None:
            return fn.median_along(input.reshape(-1), 0)[0] if input.array.size else input.new_full((), math.nan)
        return ValuesIndices(*fn.median_along(input, dim, keepdim))

    def reference(self, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is None:
            return np.sort(x, axis=None)[(x.size - 1) // 2]
        middle = np.take(np.argsort(x, axis=dim), [(x.shape[dim] - 1) // 2], axis=dim)
        value = np.take_along_axis(x, middle, dim)
        return (value, middle) if keepdim else (value.squeeze(dim), middle.squeeze(dim))

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, distinct=True)), Case(T(3, 4, distinct=True), 1), Case(T(3, 5, distinct=True), dim=0, keepdim=True))


class MedianAlong(Extremum):
    """(values, indices) of the lower middle along `dim`."""

    name = "median_along"
    function = method = False

    def find(self, xp: Any, x: Any, d: int) -> Any:
        middle = (x.shape[d] - 1) // 2
        index = xp.take(xp.argpartition(x, middle, axis=d), [middle], axis=d)
        if x.dtype.kind in "biu":
            return index
        nan = x != x
        return xp.where(nan.any(axis=d, keepdims=True), nan.argmax(axis=d, keepdims=True), index)

    def reference(self, x: Any, dim: int, keepdim: bool = False) -> Any:
        def middle(v: Any) -> int:
            return int(np.argmax(np.isnan(v))) if np.isnan(v).any() else int(np.argsort(v)[(len(v) - 1) // 2])

        index = np.apply_along_axis(middle, dim, x) if x.size else np.zeros([n for i, n in enumerate(x.shape) if i != dim], np.int64)
        value = np.take_along_axis(x, np.expand_dims(index, dim), dim)
        return (value, np.expand_dims(index, dim)) if keepdim else (value.squeeze(dim), index)

    def cases(self) -> Iterable[Case]:
        yield from (case for case in super().cases() if case.args[0].values is None or case.args[0].dtype == "float")
