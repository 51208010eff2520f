"""index_reduce: rows put together with others."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim


class IndexReduce(Op):
    """A copy of input whose entries `index` of `dim` are reduced with those of `source`: `reduce` is "prod", "mean", "amax" or "amin".

    Without `include_self` the entries of input that are named count for nothing.
    """

    name = "index_reduce"
    inplace = True
    composite = True

    def forward(self, input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True) -> Tensor:
        if reduce not in ("prod", "mean", "amax", "amin"):
            raise RuntimeError(f"index_reduce: reduce must be 'prod', 'mean', 'amax' or 'amin', not {reduce!r}")
        d = check_dim("index_reduce", dim, input.ndim)
        if index.ndim > 1 or (source.ndim and source.shape[d] != index.numel()):
            raise RuntimeError(f"index_reduce: index has shape {tuple(index.shape)} for dim {d} of {tuple(source.shape)}")
        if not input.ndim:
            return fn.scatter_reduce(input, 0, index.reshape(()), source.reshape(()), reduce, include_self=include_self)
        where = index.reshape([-1 if i == d else 1 for i in range(input.ndim)]).expand(source.shape).long()
        return fn.scatter_reduce(input, d, where, source, reduce, include_self=include_self)

    def reference(self, x: Any, dim: int, index: Any, source: Any, reduce: str, include_self: bool = True) -> Any:
        y = np.moveaxis(x.copy(), dim, 0)
        new = np.moveaxis(source, dim, 0)
        for i in set(index.tolist()):
            rows = [new[k] for k in range(len(index)) if index[k] == i] + ([y[i]] if include_self else [])
            y[i] = getattr(np, reduce)(np.stack(rows), axis=0)
        return np.moveaxis(y, 0, dim)

    def cases(self) -> Iterable[Case]:
        for reduce in ("prod", "mean", "amax", "amin"):
            for own in (True, False):
                yield Case(T(3, 4, distinct=True), 0, T(values=[2, 0, 2], dtype="int64"), T(3, 4, distinct=True, low=-2.1, high=2.2),
                           reduce, include_self=own, smooth=False)
        yield Case(T(3), 0, T(values=[0], dtype="int64"), T(1), "sum",
                   error=(RuntimeError, "index_reduce: reduce must be 'prod', 'mean'"))
