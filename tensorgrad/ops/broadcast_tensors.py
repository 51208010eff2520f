"""broadcast_tensors: several tensors expanded to one shape."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..pointwise import check_broadcast
from ..tensor import Tensor


class BroadcastTensors(Op):
    """A tuple of views of the tensors, expanded to the shape they broadcast to."""

    name = "broadcast_tensors"
    method = False
    composite = True

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
        shape: tuple[int, ...] = ()
        for t in given:
            check_broadcast("broadcast_tensors", shape, t.array.shape)
            shape = np.broadcast_shapes(shape, t.array.shape)
        return tuple(fn.expand(t, shape) for t in given)

    def reference(self, *arrays: Any) -> Any:
        return tuple(np.broadcast_arrays(*arrays))

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(1, 3), T(4, 1)), Case(T(), T(2, 0), T(1)), Case(T(3)))
        yield Case(T(2, 3), T(3, 3), error=(RuntimeError, "broadcast_tensors: shapes (2, 3) and (3, 3)"))
