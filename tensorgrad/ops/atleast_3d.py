"""atleast_3d: a view with at least 3 dimensions."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class AtLeast3d(Op):
    """Views of the tensors with dims of size 1 added until there are 3; a matrix gets its third dim at the end. One tensor for one, a
    tuple for several."""

    name = "atleast_3d"
    method = False
    composite = True

    def forward(self, *tensors: Tensor) -> Any:
        given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
        out = tuple([self._one(t) for t in given])
        return out[0] if len(tensors) == 1 and given is tensors else out

    def _one(self, t: Tensor) -> Tensor:
        shape = t.array.shape
        if len(shape) > 2:
            return t
        return fn.reshape(t, (*shape, 1) if len(shape) == 2 else (1, *(shape or (1,)), 1))

    def reference(self, *arrays: Any) -> Any:
        return np.atleast_3d(*arrays)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T()), Case(T(3)), Case(T(2, 3)), Case(T(2, 3, 4)), Case(T(), T(2)))
