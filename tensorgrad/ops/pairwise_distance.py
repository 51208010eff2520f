"""pairwise_distance: the distance between vectors."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class PairwiseDistance(Op):
    """(sum_i |x1_i - x2_i + eps|^p)^(1/p) over the last dimension, with broadcasting; p = inf gives the largest difference."""

    name = "pairwise_distance"
    autocast = ("", "float32")
    method = False
    functional = True
    composite = True

    def forward(self, x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
        z = (x1 - x2 + eps).abs()
        if p == float("inf"):
            return z.amax(-1, keepdim=keepdim)
        if p == 1:
            return z.sum(-1, keepdim=keepdim)
        if not p > 0:
            return fn.vector_norm(z, p, -1, keepdim)
        return z.square().sum(-1, keepdim=keepdim).sqrt() if p == 2 else (z**p).sum(-1, keepdim=keepdim) ** (1.0 / p)

    def reference(self, a: Any, b: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
        return np.linalg.norm(a - b + eps, p, axis=-1, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        for p in (2.0, 1.0, 3.0, float("inf")):
            yield Case(T(3, 5), T(3, 5), p)
        yield from (Case(T(5), T(5)), Case(T(2, 3, 5), T(3, 5), keepdim=True), Case(T(0, 5), T(0, 5)))
        yield Case(T(3, 5), T(3, 4), error=(RuntimeError, "sub: shapes (3, 5) and (3, 4) do not broadcast"))
