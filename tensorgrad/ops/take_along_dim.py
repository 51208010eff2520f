"""take_along_dim: pick along a dimension, the other dims broadcast."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..pointwise import check_broadcast
from ..tensor import Tensor, check_dim, wrap
from .shared.indexing import check_index_tensor, positions


class TakeAlongDim(Op):
    """`gather` with the input and `indices` broadcast in the dims other than `dim`; negative indices count from the end. Flattened
    without `dim`."""

    name = "take_along_dim"
    composite = True

    def forward(self, input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
        i = check_index_tensor("take_along_dim", indices)
        if dim is None:
            return fn.take_along_dim(input.reshape(-1), indices.reshape(-1), 0)
        x = input.array
        d = check_dim("take_along_dim", dim, x.ndim)
        if i.ndim != x.ndim:
            raise RuntimeError(f"take_along_dim: input of shape {tuple(x.shape)} and indices of shape {tuple(i.shape)} must have as "
                               "many dimensions")
        rest = [s[:d] + s[d + 1:] for s in (x.shape, i.shape)]
        check_broadcast("take_along_dim", *rest)
        common = np.broadcast_shapes(*rest)
        input = fn.expand(input, (*common[:d], x.shape[d], *common[d:]))
        i = positions("take_along_dim", i, d, x.shape[d], input.device)
        index = wrap(np.broadcast_to(i, (*common[:d], i.shape[d], *common[d:])), input.device)
        return fn.gather(input, d, index)

    def reference(self, x: Any, indices: Any, dim: int | None = None) -> Any:
        return np.take_along_axis(x, indices, dim) if dim is not None else x.ravel()[indices.ravel()]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(3, 2, dtype="int64", low=-5, high=5), 1), Case(T(3, 5), T(4, 1, dtype="int64", low=0, high=3), 0))
        yield Case(T(3, 4), T(2, 2, dtype="int64", low=0, high=12))
        yield Case(T(1, 4, 2), T(3, 2, 1, dtype="int64", low=0, high=4), dim=-2)
        yield Case(T(3, 5), T(values=[[3]], dtype="int64"), 0, torch=False,
                   error=(IndexError, "index 3 is out of range for dim 0 of size 3"))
