"""searchsorted: where values would be inserted."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, Operand, fn
from ..tensor import Tensor, wrap
from .shared.indexing import check_index_tensor


class SearchSorted(Op):
    """For each value the index in the last dim of the ascending `sorted_sequence` where it would be inserted: before equal ones, or
    after them with `right` (or side="right"). The sequence is a vector, or has the dims of `input` but for the last.

    int64, or int32 with `out_int32`. `sorter` holds the order of a sequence that is not sorted itself.
    """

    name = "searchsorted"
    method = differentiable = False

    def forward(self, ctx: Node, sorted_sequence: Tensor, input: Operand, *, out_int32: bool = False, right: bool = False,
                side: str | None = None, sorter: Tensor | None = None) -> Tensor:
        if side not in (None, "left", "right"):
            raise RuntimeError(f"searchsorted: side must be 'left' or 'right', not {side!r}")
        if side == "left" and right:
            raise RuntimeError("searchsorted: side='left' and right=True contradict each other")
        seq, xp = sorted_sequence.array, sorted_sequence.device.backend.xp
        if sorter is not None:
            seq = xp.take_along_axis(seq, check_index_tensor("searchsorted", sorter, "sorter"), -1)
        values = input.array if isinstance(input, Tensor) else sorted_sequence.device.backend.asarray(np.asarray(input))
        if seq.ndim != 1 and seq.shape[:-1] != values.shape[:-1]:
            raise RuntimeError(f"searchsorted: sorted_sequence of shape {tuple(seq.shape)} must be a vector or agree with the values "
                               "of shape "
                               f"{tuple(values.shape)} in all dims but the last")
        where: Any = "right" if right or side == "right" else "left"
        if seq.ndim == 1:
            found = xp.searchsorted(seq, values, where)
        else:
            found = xp.empty(values.shape, np.int64)
            for place in np.ndindex(*values.shape[:-1]):
                found[place] = xp.searchsorted(seq[place], values[place], where)
        return wrap(xp.asarray(found).astype(np.int32 if out_int32 else np.int64, copy=False), sorted_sequence.device)

    def reference(self, seq: Any, values: Any, right: bool = False, side: str | None = None, out_int32: bool = False,
                  sorter: Any = None) -> Any:
        seq = seq if sorter is None else np.take_along_axis(seq, sorter, -1)
        out = np.zeros(np.shape(values), np.int64)
        for place in np.ndindex(*np.shape(values)):
            row, v = (seq if seq.ndim == 1 else seq[place[:-1]]), np.asarray(values)[place]
            out[place] = (row <= v).sum() if right or side == "right" else (row < v).sum()
        return out

    def cases(self) -> Iterable[Case]:
        s = T(values=[0.5, 1.0, 1.0, 4.0], grad=False)
        yield from (Case(s, T(values=[[1.0, 9.0], [-1.0, 4.0]])), Case(s, T(values=[1.0, 4.0]), right=True), Case(s, 1.0, side="right"))
        yield Case(s, T(0))
        yield from (Case(T(values=[[1, 3, 5], [0, 0, 7]], dtype="int64"), T(values=[[3, 4], [0, 9]], dtype="int64"), out_int32=True),)
        yield Case(T(values=[3.0, 1.0, 2.0]), T(values=[2.0, 2.5]), sorter=T(values=[1, 2, 0], dtype="int64"))
        yield Case(T(2, 3), T(3, 2), error=(RuntimeError, "searchsorted: sorted_sequence of shape (2, 3) must be a vector or agree"))


class Bucketize(Op):
    """`searchsorted(boundaries, input)` with `boundaries` a vector: the number of the bucket each value falls in."""

    name = "bucketize"
    method = differentiable = False
    composite = True

    def forward(self, input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
        if boundaries.array.ndim != 1:
            raise RuntimeError(f"bucketize: boundaries must be a vector, they have shape {tuple(boundaries.shape)}")
        return fn.searchsorted(boundaries, input, out_int32=out_int32, right=right)

    def reference(self, x: Any, boundaries: Any, out_int32: bool = False, right: bool = False) -> Any:
        return np.digitize(x, boundaries, right=not right)

    def cases(self) -> Iterable[Case]:
        b = T(values=[0.0, 1.0, 2.0], grad=False)
        yield from (Case(T(values=[[0.0, 0.5], [2.0, 7.0]]), b), Case(T(values=[1.0, 2.0]), b, right=True))
        yield Case(T(3), T(2, 2), error=(RuntimeError, "bucketize: boundaries must be a vector, they have shape (2, 2)"))
