"""bincount: how often each int occurs."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op
from ..tensor import Tensor, wrap
from .shared.indexing import check_index_tensor


class BinCount(Op):
    """Counts (int64), or sums of `weights` (float64, float32 for float32 weights), of each int from 0 to the largest, at least
    `minlength` of them."""

    name = "bincount"
    differentiable = False

    def forward(self, ctx: Node, input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
        x = check_index_tensor("bincount", input, "input")
        if x.ndim != 1:
            raise RuntimeError(f"bincount: expected a vector, got the shape {tuple(x.shape)}")
        if x.size and int(x.min()) < 0:
            raise RuntimeError(f"bincount: the ints must not be negative, one is {int(x.min())}")
        if weights is None:
            return wrap(np.bincount(x, minlength=minlength).astype(np.int64, copy=False), input.device)
        w = weights.array
        if w.shape != x.shape:
            raise RuntimeError(f"bincount: weights of shape {tuple(w.shape)} must have the shape of input {tuple(x.shape)}")
        kind = np.float32 if w.dtype == np.float32 else np.float64
        return wrap(np.bincount(x, w.astype(np.float64, copy=False), minlength).astype(kind, copy=False), input.device)

    def reference(self, x: Any, weights: Any = None, minlength: int = 0) -> Any:
        n = max(minlength, int(x.max(initial=-1)) + 1)
        return np.array([((x == i) * (1 if weights is None else weights)).sum() for i in range(n)])

    def cases(self) -> Iterable[Case]:
        i: dict[str, Any] = {"dtype": "int64", "low": 0, "high": 5}
        yield from (Case(T(9, **i)), Case(T(9, **i), T(9, grad=False)), Case(T(4, **i), minlength=8), Case(T(0, dtype="int64")))
        yield Case(T(0, dtype="int64"), minlength=2)
        yield Case(T(values=[1, -1], dtype="int64"), error=(RuntimeError, "bincount: the ints must not be negative, one is -1"))
        yield Case(T(3, **i), T(2), error=(RuntimeError, "bincount: weights of shape (2,) must have the shape of input (3,)"))
