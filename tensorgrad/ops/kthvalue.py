"""kthvalue: the k-th smallest."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim
from .sort import Sorted


class KthValue(Op):
    """(values, indices) of the k-th smallest entry (k from 1) along `dim`."""

    name = "kthvalue"
    composite = True

    def forward(self, input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Sorted:
        d = check_dim("kthvalue", dim, input.array.ndim)
        n = input.array.shape[d] if input.array.ndim else 1
        if not 1 <= k <= n:
            raise RuntimeError(f"kthvalue: k is {k} but must be 1 to {n}, the size of dim {d} of {tuple(input.shape)}")
        values, indices = fn.sort_pair(input, d)
        if not input.array.ndim:
            return Sorted(values, indices)
        out = [fn.narrow(t, d, k - 1, 1) if keepdim else fn.select(t, d, k - 1) for t in (values, indices)]
        return Sorted(*out)

    def reference(self, x: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
        i = np.argsort(x, dim, kind="stable")
        v = np.take_along_axis(x, i, dim)
        return [a.take([k - 1], dim) if keepdim else a.take(k - 1, dim) for a in (v, i)]

    def cases(self) -> Iterable[Case]:
        d: dict[str, Any] = {"distinct": True}
        yield from (Case(T(7, **d), 3), Case(T(3, 5, **d), 2, 0), Case(T(3, 5, **d), 5, keepdim=True))
        yield Case(T(3, 4), 5, error=(RuntimeError, "kthvalue: k is 5 but must be 1 to 4, the size of dim 1 of (3, 4)"))
