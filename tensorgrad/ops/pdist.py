"""pdist: the distances between all pairs of rows."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class Pdist(Op):
    """The p-norms |x_i - x_j| for the rows i < j of `input` (N, M), N (N - 1) / 2 of them in the order (0, 1), (0, 2), ..., (1, 2), ...

    The gradient is 0 where two rows are equal. `cdist` has all pairs of two lists.
    """

    name = "pdist"
    autocast = ("", "float32")
    method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, p: float = 2.0) -> Tensor:
        if input.ndim != 2:
            raise RuntimeError(f"pdist: expected (N, M), got shape {tuple(input.shape)}")
        if p < 0:
            raise RuntimeError(f"pdist: p must not be negative, got {p}")
        i, j = fn.unbind(fn.triu_indices(input.shape[0], input.shape[0], 1).to(input.device))
        return fn.length_last(fn.index_select(input, 0, i) - fn.index_select(input, 0, j), float(p))

    def reference(self, x: Any, p: float = 2.0) -> Any:
        i, j = np.triu_indices(len(x), 1)
        d = np.abs(x[i] - x[j])
        if p == 0:
            return (d != 0).sum(-1)
        return d.max(-1, initial=0) if np.isinf(p) else (d**p).sum(-1) ** (1 / p)

    def cases(self) -> Iterable[Case]:
        for p in (2.0, 1.0, 3.0, 1.5):
            yield Case(T(4, 3, distinct=True), p)
        yield from (Case(T(4, 3, distinct=True), float("inf"), smooth=False), Case(T(1, 3)), Case(T(3, 3, grad=False), 0.0))
        yield Case(T(3), error=(RuntimeError, "pdist: expected (N, M), got shape (3,)"))
        yield Case(T(3, 3), -1.0, error=(RuntimeError, "pdist: p must not be negative"))
