"""cosine_similarity: the cosine of the angle between vectors."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dtypes import finfo
from ..op import Op, fn
from ..tensor import Tensor


class CosineSimilarity(Op):
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`, with broadcasting."""

    name = "cosine_similarity"
    autocast = ("", "float32")
    method = False
    functional = True
    composite = True

    def forward(self, x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
        eps = max(eps, finfo(x1.dtype).tiny)  # float16 has no 1e-8

        def norm(x: Tensor) -> Tensor:
            squares = x.square().sum(dim, keepdim=True)
            return fn.where(squares > eps * eps, fn.where(squares > eps * eps, squares, 1.0).sqrt(), eps)

        x1, x2 = fn.broadcast_tensors(x1, x2)
        return (x1 / norm(x1) * (x2 / norm(x2))).sum(dim)

    def reference(self, a: Any, b: Any, dim: int = 1, eps: float = 1e-8) -> Any:
        a, b = np.broadcast_arrays(a, b)
        sizes = [np.maximum(np.linalg.norm(x, axis=dim), eps) for x in (a, b)]
        return (a * b).sum(axis=dim) / (sizes[0] * sizes[1])

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(3, 5)), Case(T(5), T(5), dim=0), Case(T(2, 3, 5), T(1, 3, 5), dim=-1, eps=1e-6), Case(T(0, 3), T(0, 3)))
        yield Case(T(values=[[0.0, 0.0], [1.0, 2.0]], grad=False), T(2, 2, grad=False))
        yield Case(T(3), T(3), error=(IndexError, "dim 1 is out of range"))
