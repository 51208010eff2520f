"""take: elements by their place in row-major order."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.indexing import check_index_tensor


class Take(Op):
    """The elements at `index` (ints, negative ones from the end) of the flattened input, in the shape of `index`."""

    name = "take"
    composite = True

    def forward(self, input: Tensor, index: Tensor) -> Tensor:
        check_index_tensor("take", index)
        return fn.getitem(input.reshape(-1), index if index.array.ndim else index.reshape(1)).reshape(index.array.shape)

    def reference(self, x: Any, index: Any) -> Any:
        return np.take(x, index)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5), T(2, 4, dtype="int64", low=-15, high=15)), Case(T(4), T(dtype="int64", low=0, high=4)))
        yield Case(T(3), T(0, dtype="int64"))
        yield Case(T(3), T(values=[3], dtype="int64"), error=(IndexError, "index 3 is out of range for dim 0 of size 3"))
        yield Case(T(3), T(2), error=(TypeError, "take: index must hold ints (int64), not float32"))
