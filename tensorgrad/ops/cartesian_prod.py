"""cartesian_prod: all combinations of elements."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..creation import meshgrid
from ..op import Op, fn
from ..tensor import Tensor


class CartesianProd(Op):
    """Rows of all combinations of one element from each vector, the last changing fastest; of one vector that vector."""

    name = "cartesian_prod"
    method = False
    composite = True

    def forward(self, *tensors: Tensor) -> Tensor:
        for t in tensors:
            if t.ndim != 1:
                raise RuntimeError(f"cartesian_prod: expected vectors, got the shape {tuple(t.shape)}")
        if len(tensors) == 1:
            return tensors[0]
        return fn.stack([g.reshape(-1) for g in meshgrid(*tensors)], 1)

    def reference(self, *tensors: Any) -> Any:
        return np.stack([g.reshape(-1) for g in np.meshgrid(*tensors, indexing="ij")], 1) if len(tensors) > 1 else tensors[0]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3), T(2)), Case(T(2), T(3), T(2)), Case(T(4)))
