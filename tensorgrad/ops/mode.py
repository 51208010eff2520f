"""mode: the most frequent value."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import dtypes
from ..cases import Case, T
from ..creation import arange
from ..op import Op, fn
from ..tensor import Tensor, check_dim
from .shared.reduction import ValuesIndices


def largest(x: Tensor) -> Any:
    """No value of this dtype is above it."""
    return float("inf") if x.dtype.is_floating_point else True if x.dtype.name == "bool" else dtypes.iinfo(x.dtype).max



class Mode(Op):
    """(values, indices) of the most frequent value along `dim`, the smallest of those that are as frequent; the index is its last."""

    name = "mode"
    composite = True

    def forward(self, input: Tensor, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
        d = check_dim("mode", dim, input.ndim)
        if not input.ndim:
            return ValuesIndices(input.clone(), input.new_zeros((), dtype=dtypes.int64))
        if not input.shape[d]:
            raise IndexError(f"mode: dim {dim} of {tuple(input.shape)} is empty")
        x = input.movedim(d, -1).detach()
        often = (x.unsqueeze(-1) == x.unsqueeze(-2)).sum(-1)
        best = often == often.amax(-1, True)
        value = fn.where(best, x, largest(x)).amin(-1, True)
        last = fn.where(x == value, arange(x.shape[-1], device=x.device), -1).amax(-1, True).movedim(-1, d)
        values = fn.gather(input, d, last)
        return ValuesIndices(values, last) if keepdim else ValuesIndices(values.squeeze(d), last.squeeze(d))

    def reference(self, x: Any, dim: int = -1, keepdim: bool = False) -> Any:
        def one(v: Any) -> Any:
            values, counts = np.unique(v, return_counts=True)
            value = values[counts.argmax()]
            return np.array([value, np.flatnonzero(v == value)[-1]])

        if not x.ndim:
            return x, np.array(0)
        both = np.apply_along_axis(one, dim, x)
        found = [both.take(i, dim) for i in (0, 1)]
        return [np.expand_dims(f, dim) for f in found] if keepdim else found

    def cases(self) -> Iterable[Case]:
        yield Case(T(7, dtype="int64", low=0, high=3), torch=False)
        yield Case(T(3, 6, dtype="int64", low=0, high=3), 0, True, torch=False)
        yield from (Case(T(3, 1)), Case(T()))
